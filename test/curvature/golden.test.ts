import { goldenTests } from "../oracle/golden";

// float32: 7 digits, and sums of a few hundred products
goldenTests({ rtol: 1e-4 });
