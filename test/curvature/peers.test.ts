import { peersTests } from "./peers-tests";

// float32: 7 digits, and sums of a few hundred products
peersTests({ rtol: 1e-4 });
