import { peersTests } from "./peers-tests";

peersTests({ rtol: 1e-8 });
