import { intern, type Node } from "./nodes.ts";

/** Which numbers; bounds are part of the range. */
export interface NumberLimits {
  readonly integer?: boolean;
  readonly least?: number;
  readonly most?: number;
  readonly above?: number;
  readonly below?: number;
}

/** Digits before the point, so that every integer is exact in a double. */
const DIGITS = 15;
/** Digits behind the point, unless a bound has more. */
const FRACTION = 6;

const TENS = Array.from({ length: 64 }, (_, i) => 10n ** BigInt(i));

/** Exact limits in units of the last digit that may be written. */
interface Range {
  readonly low: bigint;
  readonly high: bigint;
  readonly fraction: number;
}

/** A JSON number within limits, in plain digits: no exponent, no more digits than a double keeps. */
export function number(limits: NumberLimits = {}): Node {
  const bounds = [limits.least, limits.most, limits.above, limits.below];
  const fraction = limits.integer
    ? 0
    : Math.max(FRACTION, ...bounds.map((bound) => bound === undefined ? 0 : places(bound) + 2));
  const unit = TENS[fraction]!, far = TENS[DIGITS]! * unit - 1n;
  const scaled = (bound: number, round: 1 | -1): bigint => {
    const [whole, rest] = decimal(bound);
    const kept = BigInt(whole + rest.slice(0, fraction).padEnd(fraction, "0"));
    const exact = /^0*$/.test(rest.slice(fraction));
    const signed = bound < 0 ? -kept : kept;
    // A bound between two writable numbers: the nearest inside.
    if (exact) return signed;
    return round > 0 ? (bound < 0 ? signed : signed + 1n) : (bound < 0 ? signed - 1n : signed);
  };
  const max = (a: bigint, b: bigint) => a > b ? a : b,
    min = (a: bigint, b: bigint) => a < b ? a : b;
  let low = -far, high = far;
  if (limits.least !== undefined) low = max(low, scaled(limits.least, 1));
  if (limits.above !== undefined) {
    low = max(low, next(scaled(limits.above, -1), limits.above, fraction, 1n));
  }
  if (limits.most !== undefined) high = min(high, scaled(limits.most, -1));
  if (limits.below !== undefined) {
    high = min(high, next(scaled(limits.below, 1), limits.below, fraction, -1n));
  }
  return written({ low, high, fraction }, "");
}

/** The writable number beyond a bound that itself is left out. */
function next(scaled: bigint, bound: number, fraction: number, by: bigint): bigint {
  const exact = places(bound) <= fraction;
  return exact ? scaled + by : scaled + (by > 0n ? 1n : -1n);
}

const places = (bound: number) => Math.min(15, decimal(bound)[1].length);

/** The digits before and behind the point of a magnitude, as a person writes it: 1e-7 is 0.0000001. */
function decimal(bound: number): [whole: string, rest: string] {
  const [digits, exponent = "0"] = String(Math.abs(bound)).split("e") as [string, string?];
  const [whole, rest = ""] = digits.split(".") as [string, string?];
  const shift = Number(exponent);
  if (shift >= 0) return [whole + rest.padEnd(shift, "0").slice(0, shift), rest.slice(shift)];
  const all = whole.padStart(1 - shift, "0");
  return [all.slice(0, shift), all.slice(shift) + rest];
}

/** A number of which `text` is written. */
function written(range: Range, text: string): Node {
  return intern(`n${range.low},${range.high},${range.fraction},${text}`, () => ({
    nullable: complete(range, text),
    step(byte) {
      const character = String.fromCharCode(byte);
      if (!/^[-0-9.]$/.test(character)) return undefined;
      const longer = text + character;
      return possible(range, longer) ? written(range, longer) : undefined;
    },
    shortest() {
      // Breadth first: as few characters as do.
      let all = [text];
      for (let more = 0; more <= DIGITS + range.fraction + 2 && all.length > 0; more++) {
        const done = all.find((one) => complete(range, one));
        if (done !== undefined) return done.slice(text.length);
        all = all.flatMap((one) =>
          [..."0123456789.-"].map((c) => one + c).filter((longer) => possible(range, longer))
        ).slice(0, 64);
      }
      return undefined;
    },
  }));
}

interface Parsed {
  readonly negative: boolean;
  readonly whole: string;
  /** Undefined before the point. */
  readonly rest: string | undefined;
}

function parsed(text: string): Parsed | undefined {
  const match = /^(-?)(0|[1-9][0-9]*)?(?:(\.)([0-9]*))?$/.exec(text);
  if (!match) return undefined;
  const [, sign, whole = "", point, rest = ""] = match;
  if (whole === "" && point) return undefined;
  return { negative: sign === "-", whole, rest: point ? rest : undefined };
}

/** Whether this is a number in the range. */
function complete(range: Range, text: string): boolean {
  const it = parsed(text);
  if (!it || it.whole === "" || it.rest === "") return false;
  const value = scaledOf(it, range.fraction), signed = it.negative ? -value : value;
  return signed >= range.low && signed <= range.high;
}

const scaledOf = ({ whole, rest = "" }: Parsed, fraction: number) =>
  BigInt((whole || "0") + rest.padEnd(fraction, "0"));

/** Whether something can follow, or nothing, that makes it one. */
function possible(range: Range, text: string): boolean {
  const it = parsed(text);
  if (!it) return false;
  const { low, high, fraction } = range;
  if (it.whole.length > DIGITS || (it.rest?.length ?? 0) > fraction) return false;
  if (it.rest !== undefined && fraction === 0) return false;
  // Of a negative number the magnitude is between these.
  const [least, most] = it.negative ? [-high, -low] : [low, high];
  const meets = (from: bigint, to: bigint) => from <= most && to >= least;
  if (it.whole === "") return meets(0n, TENS[DIGITS + fraction]! - 1n);
  if (it.rest !== undefined) {
    const from = scaledOf(it, fraction);
    const behind = fraction - it.rest.length;
    if (behind === 0 && it.rest === "") return false;
    return meets(from, from + TENS[behind]! - 1n);
  }
  const unit = TENS[fraction]!, whole = BigInt(it.whole);
  const more = it.whole === "0" ? 0 : DIGITS - it.whole.length;
  for (let digits = 0; digits <= more; digits++) {
    const from = whole * TENS[digits]!, to = from + TENS[digits]! - 1n;
    if (meets(from * unit, to * unit + unit - 1n)) return true;
  }
  return false;
}
