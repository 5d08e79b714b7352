/**
 * Writes ONNX models of one node: the protobuf messages of
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto that this takes, and no more.
 */

export const onnxType = { float32: 1, uint8: 2, float16: 10 } as const;
export type OnnxType = keyof typeof onnxType;

export interface Value {
  readonly name: string;
  readonly type: OnnxType;
  readonly dims: readonly number[];
}

export interface OneNode {
  readonly op: string;
  /** Operators of Microsoft's are in "com.microsoft". */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number>>;
  readonly input: Value;
  /** Further inputs, held by the model. */
  readonly weights: readonly (Value & { readonly data: ArrayBufferView })[];
  readonly output: Value;
}

const LENGTH = 2, VARINT = 0;

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

const join = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const int = (field: number, value: number) => join(varint(field * 8 + VARINT), varint(value));
const bytes = (field: number, value: Uint8Array) =>
  join(varint(field * 8 + LENGTH), varint(value.length), value);
const text = (field: number, value: string) => bytes(field, new TextEncoder().encode(value));

/** ValueInfoProto */
function valueInfo({ name, type, dims }: Value): Uint8Array {
  const shape = join(...dims.map((n) => bytes(1, int(1, n))));
  return join(
    text(1, name),
    bytes(2, bytes(1, join(int(1, onnxType[type]), bytes(2, shape)))),
  );
}

/** TensorProto with raw_data */
function tensor(
  { name, type, dims, data }: OneNode["weights"][number],
): Uint8Array {
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return join(
    ...dims.map((n) => int(1, n)),
    int(2, onnxType[type]),
    text(8, name),
    bytes(9, raw),
  );
}

/** ModelProto, IR version 8: opset 13, and version 1 of Microsoft's. */
export function oneNodeModel(
  { op, domain, attributes, input, weights, output }: OneNode,
) {
  const INT = 2;
  const node = join(
    ...[input, ...weights].map(({ name }) => text(1, name)),
    text(2, output.name),
    text(4, op),
    ...Object.entries(attributes ?? {}).map(([name, value]) =>
      bytes(5, join(text(1, name), int(3, value), int(20, INT)))
    ),
    ...(domain === undefined ? [] : [text(7, domain)]),
  );
  const graph = join(
    bytes(1, node),
    text(2, "one"),
    ...weights.map((weight) => bytes(5, tensor(weight))),
    bytes(11, valueInfo(input)),
    bytes(12, valueInfo(output)),
  );
  const opset = (name: string, version: number) => bytes(8, join(text(1, name), int(2, version)));
  return join(
    int(1, 8),
    bytes(7, graph),
    opset("", 13),
    opset("com.microsoft", 1),
  );
}
