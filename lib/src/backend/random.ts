/** A named source of random numbers: the same numbers on every machine and Node version. */
export interface Stream {
  /** U(from, to), from <= value < to up to rounding; 32 random bits */
  uniform(from?: number, to?: number): number;
  /** an integer 0 to n - 1, without bias */
  integer(n: number): number;
  /** N(0, 1) by the inverse distribution function at 32 random bits, so |value| < 6.4 */
  normal(): number;
  /** -1 or 1 */
  sign(): -1 | 1;
  /** 0 to n - 1 in random order */
  permutation(n: number): Int32Array;
}

/**
 * The stream with this seed and name; streams of different names are independent.
 * Two calls with the same arguments give two streams with the same numbers.
 * Only + - * / and the square root are used, which are exact to the last bit everywhere (Math.sin, log, exp are not).
 * @throws RangeError when the seed or a number in the name is not a safe integer
 */
export function stream(seed: number, ...name: (string | number)[]): Stream {
  for (const part of [seed, ...name]) {
    if (typeof part !== "string" && !Number.isSafeInteger(part))
      throw new RangeError(`stream: seed and numbers of the name must be integers, got ${part}`);
  }
  return new Sfc32(JSON.stringify([seed, ...name]));
}

/** "Small fast counting" generator, 128 bits of state (C. Doty-Humphrey, PractRand). */
class Sfc32 implements Stream {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(name: string) {
    [this.a, this.b, this.c] = hash96(name);
    for (let i = 0; i < 15; i++) this.next();
  }

  uniform(from = 0, to = 1): number {
    return from + (to - from) * (this.next() / 2 ** 32);
  }

  integer(n: number): number {
    if (!(Number.isInteger(n) && n >= 1 && n <= 2 ** 32))
      throw new RangeError(`integer: n must be an integer from 1 to 2^32, got ${n}`);
    const limit = 2 ** 32 - (2 ** 32 % n);
    let bits = this.next();
    while (bits >= limit) bits = this.next();
    return bits % n;
  }

  normal(): number {
    return normalQuantile((this.next() + 0.5) / 2 ** 32);
  }

  sign(): -1 | 1 {
    return this.next() >= 2 ** 31 ? 1 : -1;
  }

  permutation(n: number): Int32Array {
    if (!(Number.isInteger(n) && n >= 0)) throw new RangeError(`permutation: n must be an integer >= 0, got ${n}`);
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const kept = order[i] as number;
      order[i] = order[j] as number;
      order[j] = kept;
    }
    return order;
  }

  /** 32 random bits as an unsigned integer */
  private next(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}

/** Three 32-bit hashes of a text: multiply-xorshift per character, lanes crossed, then the finaliser of MurmurHash3. */
function hash96(text: string): [number, number, number] {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = 0xb7e15162;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const first = a;
    a = b ^ Math.imul(a ^ code, 0x85ebca6b);
    b = c ^ Math.imul(b ^ code, 0xc2b2ae35);
    c = first ^ Math.imul(c ^ code, 0x27d4eb2f);
    a ^= a >>> 15;
    b ^= b >>> 13;
    c ^= c >>> 16;
  }
  return [finish(a ^ c), finish(b ^ a), finish(c ^ b)];
}

function finish(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** z with P(N(0,1) < z) = p, relative error 1e-15 for 2^-33 <= p <= 1 - 2^-33 (M. Wichura 1988, algorithm AS 241). */
function normalQuantile(p: number): number {
  const q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * middleAbove(r)) / middleBelow(r);
  }
  const r = Math.sqrt(-logarithm(q < 0 ? p : 1 - p)) - 1.6;
  const z = tailAbove(r) / tailBelow(r);
  return q < 0 ? -z : z;
}

// Horner's rule written out: a loop over a list takes half as long again, and every normal number comes through here.
const middleAbove = (r: number): number => {
  let sum = 2509.0809287301227 * r + 33430.57558358813;
  sum = sum * r + 67265.7709270087;
  sum = sum * r + 45921.95393154987;
  sum = sum * r + 13731.69376550946;
  sum = sum * r + 1971.5909503065513;
  sum = sum * r + 133.14166789178438;
  return sum * r + 3.3871328727963665;
};

const middleBelow = (r: number): number => {
  let sum = 5226.495278852854 * r + 28729.085735721943;
  sum = sum * r + 39307.89580009271;
  sum = sum * r + 21213.794301586597;
  sum = sum * r + 5394.196021424751;
  sum = sum * r + 687.1870074920579;
  sum = sum * r + 42.31333070160091;
  return sum * r + 1;
};

const tailAbove = (r: number): number => {
  let sum = 0.0007745450142783414 * r + 0.022723844989269184;
  sum = sum * r + 0.2417807251774506;
  sum = sum * r + 1.2704582524523684;
  sum = sum * r + 3.6478483247632045;
  sum = sum * r + 5.769497221460691;
  sum = sum * r + 4.630337846156546;
  return sum * r + 1.4234371107496835;
};

const tailBelow = (r: number): number => {
  let sum = 1.0507500716444169e-9 * r + 0.0005475938084995345;
  sum = sum * r + 0.015198666563616457;
  sum = sum * r + 0.14810397642748008;
  sum = sum * r + 0.6897673349851;
  sum = sum * r + 1.6763848301838038;
  sum = sum * r + 2.053191626637759;
  return sum * r + 1;
};

/** Natural logarithm of 0 < x <= 1: 2 artanh((m - 1) / (m + 1)) - k ln 2 with x = m / 2^k. */
function logarithm(x: number): number {
  let m = x;
  let k = 0;
  while (m < Math.SQRT1_2) {
    m *= 2;
    k++;
  }
  const s = (m - 1) / (m + 1);
  const s2 = s * s;
  let series = 0;
  for (let i = 21; i >= 1; i -= 2) series = series * s2 + 1 / i;
  return 2 * s * series - k * Math.LN2;
}
