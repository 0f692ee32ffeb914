import { trainingGoldenTests } from "./training-golden";

trainingGoldenTests({ rtol: 1e-5 }); // float32 sums of some hundred products, through three steps
