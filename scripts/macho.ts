import { createHash } from "node:crypto";

const cpus = { x64: 0x01000007, arm64: 0x0100000c };

/** One architecture's file out of a universal Mach-O. @throws Error when it has none */
export function sliceMachO(universal: Buffer, cpu: keyof typeof cpus): Buffer {
  if (universal.readUInt32BE(0) !== 0xcafebabe) throw new Error("not a universal Mach-O");
  for (let i = 0; i < universal.readUInt32BE(4); i++) {
    const at = 8 + i * 20;
    if (universal.readUInt32BE(at) !== cpus[cpu]) continue;
    const offset = universal.readUInt32BE(at + 8);
    return universal.subarray(offset, offset + universal.readUInt32BE(at + 12));
  }
  throw new Error(`no ${cpu} in this universal Mach-O`);
}

const page = 4096;
const hashBytes = 32;
const headerBytes = 88;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();

/**
 * Gives a thin 64-bit Mach-O an ad-hoc code signature in place of the one it has: a SHA-256 of each
 * page in a code directory (version 0x20400), and an empty set of requirements. All fields of the
 * signature are big-endian. Layout: cs_blobs.h of the XNU sources.
 */
export function signMachO(program: Buffer, identifier: string): Buffer {
  const { signature, linkedit, text } = loadCommands(program);
  const limit = program.readUInt32LE(signature + 8);
  const name = Buffer.from(`${identifier}\0`);
  const requirements = Buffer.alloc(12);
  requirements.writeUInt32BE(0xfade0c01, 0);
  requirements.writeUInt32BE(requirements.length, 4);
  const pages = Math.ceil(limit / page);
  const specials = 2; // slots before the pages: Info.plist (absent) and requirements
  const hashes = headerBytes + name.length + specials * hashBytes;
  const directoryBytes = hashes + pages * hashBytes;
  const blobs = 12 + 2 * 8;
  const total = blobs + directoryBytes + requirements.length;
  const size = Math.ceil(total / 16) * 16;

  // The load commands are inside the first page, so they change before it is hashed.
  const out = Buffer.concat([program.subarray(0, limit), Buffer.alloc(size)]);
  out.writeUInt32LE(size, signature + 12);
  const inFile = limit + size - Number(out.readBigUInt64LE(linkedit + 40));
  out.writeBigUInt64LE(BigInt(inFile), linkedit + 48);
  out.writeBigUInt64LE(BigInt(Math.ceil(inFile / 16384) * 16384), linkedit + 32);

  const directory = Buffer.alloc(directoryBytes);
  const words = [0xfade0c02, directoryBytes, 0x20400, 0x2, /* ad hoc */ hashes, headerBytes];
  [...words, specials, pages, limit].forEach((word, i) => directory.writeUInt32BE(word, i * 4));
  directory.set([hashBytes, 2, /* SHA-256 */ 0, Math.log2(page)], 36);
  directory.writeBigUInt64BE(out.readBigUInt64LE(text + 40), 64);
  directory.writeBigUInt64BE(out.readBigUInt64LE(text + 48), 72);
  directory.writeBigUInt64BE(1n, /* the main program */ 80);
  directory.set(name, headerBytes);
  directory.set(sha256(requirements), hashes - 2 * hashBytes);
  for (let i = 0; i < pages; i++) {
    const bytes = out.subarray(i * page, Math.min(limit, (i + 1) * page));
    directory.set(sha256(bytes), hashes + i * hashBytes);
  }

  const index = [0xfade0cc0, total, 2, 0, blobs, 2, blobs + directoryBytes];
  index.forEach((word, i) => out.writeUInt32BE(word, limit + i * 4));
  out.set(directory, limit + blobs);
  out.set(requirements, limit + blobs + directoryBytes);
  return out;
}

/** How many pages of a signed Mach-O differ from their hash in its SHA-256 code directory. */
export function badPages(program: Buffer): { pages: number; bad: number } {
  const start = program.readUInt32LE(loadCommands(program).signature + 8);
  for (let i = 0; i < program.readUInt32BE(start + 8); i++) {
    const at = start + program.readUInt32BE(start + 16 + i * 8);
    if (program.readUInt32BE(at) !== 0xfade0c02) continue;
    const [hashes, pages, limit] = [16, 28, 32].map((o) => program.readUInt32BE(at + o));
    const size = 2 ** program[at + 39]!;
    let bad = 0;
    for (let p = 0; p < pages!; p++) {
      const hash = sha256(program.subarray(p * size, Math.min(limit!, (p + 1) * size)));
      const said = at + hashes! + p * hashBytes;
      if (!hash.equals(program.subarray(said, said + hashBytes))) bad++;
    }
    return { pages: pages!, bad };
  }
  throw new Error("no code directory");
}

/** Offsets of the load commands that a signature touches. */
function loadCommands(program: Buffer): { signature: number; linkedit: number; text: number } {
  if (program.readUInt32LE(0) !== 0xfeedfacf) throw new Error("not a thin 64-bit Mach-O");
  const found = { signature: 0, linkedit: 0, text: 0 };
  let at = 32;
  for (let i = 0; i < program.readUInt32LE(16); i++) {
    const command = program.readUInt32LE(at);
    if (command === 0x1d) found.signature = at;
    if (command === 0x19) {
      const segment = program.toString("latin1", at + 8, at + 24).replace(/\0.*$/s, "");
      if (segment === "__LINKEDIT") found.linkedit = at;
      if (segment === "__TEXT") found.text = at;
    }
    at += program.readUInt32LE(at + 4);
  }
  if (!found.signature || !found.linkedit || !found.text) {
    throw new Error("no room for a signature");
  }
  return found;
}
