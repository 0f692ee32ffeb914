export type Scale = "full" | "quick";

/**
 * How much a notebook computes: the environment variable SECATEUR_SCALE, "full" when it is not set.
 * @throws RangeError for any other value
 */
export function scale(): Scale {
  const value = process.env.SECATEUR_SCALE ?? "full";
  if (value !== "full" && value !== "quick")
    throw new RangeError(`SECATEUR_SCALE must be full or quick, got '${value}'`);
  return value;
}
