import { goldenTests } from "../oracle/golden";

goldenTests({ rtol: 1e-9 });
