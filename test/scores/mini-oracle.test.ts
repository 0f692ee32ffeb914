import { miniOracle } from "../oracle/mini-oracle";

// float32 has 7 digits; the losses are differences of numbers of size 10
miniOracle({ rtol: 1e-5, tiny: 1e-7 });
