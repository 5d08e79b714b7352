import type { LayerPoint } from "./record.ts";

/** Numbers over rows and columns, as a heat map draws them; NaN where there is none. */
export interface Field {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  readonly values: readonly (readonly number[])[];
}

/** Layer and kind of a module: "model.layers.3.self_attn.q_proj" is q_proj of layer 3. */
function parts(module: string): { layer: string; kind: string } {
  const layer = /\.(\d+)\./.exec(`.${module}.`)?.[1] ?? "other";
  return { layer, kind: module.slice(module.lastIndexOf(".") + 1) };
}

const unique = (names: readonly string[]) => [...new Set(names)];

/** Gradient norm of each layer (rows) at each step that was looked into (columns). */
export function gradientsByLayer(points: readonly LayerPoint[]): Field {
  const layers = unique(points.flatMap((p) => p.modules).map((m) => parts(m).layer));
  const values = layers.map((layer) =>
    points.map((point) => {
      const own = point.gradient.filter((_, i) => parts(point.modules[i]!).layer === layer);
      return own.length === 0 ? NaN : Math.sqrt(own.reduce((sum, g) => sum + g * g, 0));
    })
  );
  return { rows: layers, columns: points.map((p) => String(p.step)), values };
}

/**
 * Mean size of an update against the size of what it changes, by kind of module (rows) and layer (columns):
 * where the training takes place. About 1e-3 at a healthy learning rate.
 */
export function movementByModule(points: readonly LayerPoint[]): Field {
  const modules = unique(points.flatMap((p) => p.modules));
  const kinds = unique(modules.map((m) => parts(m).kind));
  const layers = unique(modules.map((m) => parts(m).layer));
  const values = kinds.map((kind) =>
    layers.map((layer) => {
      const ratios = points.flatMap((point) =>
        point.modules.flatMap((module, i) => {
          const own = parts(module);
          if (own.kind !== kind || own.layer !== layer || !(point.weight[i]! > 0)) return [];
          return [point.update[i]! / point.weight[i]!];
        })
      );
      return ratios.length === 0 ? NaN : ratios.reduce((a, b) => a + b, 0) / ratios.length;
    })
  );
  return { rows: kinds, columns: layers, values };
}

/** Modules whose gradient was zero in every look: nothing they do reaches the loss. */
export function idleModules(points: readonly LayerPoint[]): string[] {
  return unique(points.flatMap((p) => p.modules)).filter((module) =>
    points.every((p) => {
      const i = p.modules.indexOf(module);
      return i < 0 || p.gradient[i] === 0;
    })
  );
}
