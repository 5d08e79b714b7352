import apoDown from "./apo_down.wgsl" with { type: "text" };
import apoZero from "./apo_zero.wgsl" with { type: "text" };
import bcoPair from "./bco_pair.wgsl" with { type: "text" };
import discopop from "./discopop.wgsl" with { type: "text" };
import exoPair from "./exo_pair.wgsl" with { type: "text" };
import hinge from "./hinge.wgsl" with { type: "text" };
import ipo from "./ipo.wgsl" with { type: "text" };
import ipoSum from "./ipo_sum.wgsl" with { type: "text" };
import ncaPair from "./nca_pair.wgsl" with { type: "text" };
import orpo from "./orpo.wgsl" with { type: "text" };
import robust from "./robust.wgsl" with { type: "text" };
import sigmoidCode from "./sigmoid.wgsl" with { type: "text" };
import sigmoidNorm from "./sigmoid_norm.wgsl" with { type: "text" };
import simpo from "./simpo.wgsl" with { type: "text" };
import sppoHard from "./sppo_hard.wgsl" with { type: "text" };

/** One pair: log-ratios of policy to reference (by the token for some losses), and lengths in tokens. */
export interface Pair {
  readonly c: number;
  readonly r: number;
  readonly chosen: number;
  readonly rejected: number;
  readonly beta: number;
  readonly smoothing: number;
  /** By how much SimPO wants the chosen answer to be better. */
  readonly gamma: number;
}

/** One loss on pairs: its WGSL, with the formula and its source on top, and its meaning in float64. */
export interface PreferenceLoss {
  readonly code: string;
  readonly of: (pair: Pair) => number;
  /** What --label-smoothing may be; 0 alone where absent. */
  readonly smoothing?: readonly [least: number, below: number];
  /** It takes log-ratios by the token. */
  readonly average?: boolean;
  /** What it has to say of a pair beside its value. */
  readonly notes?: (pair: Pair) => readonly [number, number];
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const log = (x: number) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))); // log σ(x)
const z = ({ c, r, beta }: Pair) => beta * (c - r);
const logOdds = (x: number) => {
  const near = Math.min(x, -(2 ** -24));
  return near - Math.log(-Math.expm1(near));
};
const oddsRatio = ({ c, r }: Pair) => logOdds(c) - logOdds(r);

/** TRL's losses by its names. */
export const losses = {
  sigmoid: {
    code: sigmoidCode,
    of: (p) => -(1 - p.smoothing) * log(z(p)) - p.smoothing * log(-z(p)),
    smoothing: [0, 1],
  },
  hinge: { code: hinge, of: (p) => Math.max(0, 1 - z(p)) },
  ipo: {
    code: ipo,
    of: ({ c, r, chosen, rejected, beta }) => (c / chosen - r / rejected - 1 / (2 * beta)) ** 2,
  },
  ipo_sum: { code: ipoSum, of: ({ c, r, beta }) => (c - r - 1 / (2 * beta)) ** 2 },
  robust: {
    code: robust,
    of: (p) => (-(1 - p.smoothing) * log(z(p)) + p.smoothing * log(-z(p))) / (1 - 2 * p.smoothing),
    smoothing: [0, 0.5],
  },
  exo_pair: {
    code: exoPair,
    of: (p) =>
      sigmoid(z(p)) * (log(z(p)) - Math.log(1 - p.smoothing)) +
      sigmoid(-z(p)) * (log(-z(p)) - Math.log(p.smoothing)),
    smoothing: [1e-6, 1],
  },
  nca_pair: {
    code: ncaPair,
    of: ({ c, r, beta }) => -log(beta * c) - 0.5 * log(-beta * c) - 0.5 * log(-beta * r),
  },
  bco_pair: { code: bcoPair, of: ({ c, r, beta }) => -log(beta * c) - log(-beta * r) },
  sppo_hard: {
    code: sppoHard,
    of: ({ c, r, beta }) => (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2,
  },
  apo_zero: { code: apoZero, of: ({ c, r, beta }) => 1 - sigmoid(beta * c) + sigmoid(beta * r) },
  apo_down: { code: apoDown, of: (p) => sigmoid(p.beta * p.c) + 1 - sigmoid(z(p)) },
  discopop: {
    code: discopop,
    of: (p) => {
      const m = sigmoid(z(p) / 0.05);
      return -log(z(p)) * (1 - m) + Math.exp(-z(p)) * m;
    },
  },
  sigmoid_norm: {
    code: sigmoidNorm,
    of: ({ c, r, chosen, rejected, beta }) => -log(beta * (c / chosen - r / rejected)),
  },
  orpo: {
    code: orpo,
    of: (p) => -p.beta * log(oddsRatio(p)),
    average: true,
    notes: (p) => [log(oddsRatio(p)), oddsRatio(p)],
  },
  simpo: {
    code: simpo,
    of: (p) => -(1 - p.smoothing) * log(z(p) - p.gamma) - p.smoothing * log(p.gamma - z(p)),
    smoothing: [0, 1],
    average: true,
  },
} satisfies Record<string, PreferenceLoss>;

export type LossName = keyof typeof losses;
