export * from "./types";
export * as rows from "./rows";
