import { trainingGoldenTests } from "./training-golden";

trainingGoldenTests({ rtol: 1e-11 });
