import { miniOracle } from "../oracle/mini-oracle";

miniOracle({ rtol: 1e-11, tiny: 1e-13 });
