/**
 * Makes a Node.js addon for 64-bit Windows load into another program. Addons import their host by
 * the name node.exe, and Windows would look for a file of that name; the import is renamed to
 * `host`, written over the DOS stub, whose place in memory equals its place in the file.
 * PE format: https://learn.microsoft.com/windows/win32/debug/pe-format
 * @returns a changed copy
 * @throws Error when it is no such addon or the name is too long
 */
export function renameHost(addon: Uint8Array, host: string): Uint8Array {
  const bytes = Buffer.from(addon);
  const header = bytes.readUInt32LE(0x3c);
  if (bytes.toString("latin1", header, header + 4) !== "PE\0\0") throw new Error("not a PE file");
  const optional = header + 24;
  if (bytes.readUInt16LE(optional) !== 0x20b) throw new Error("not a 64-bit PE file");
  const firstSection = optional + bytes.readUInt16LE(header + 20);
  const sections = Array.from({ length: bytes.readUInt16LE(header + 6) }, (_, index) => {
    const at = firstSection + index * 40;
    return {
      address: bytes.readUInt32LE(at + 12),
      size: Math.max(bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 16)),
      file: bytes.readUInt32LE(at + 20),
    };
  });
  const inFile = (address: number) => {
    if (sections.every((s) => address < s.address)) return address; // in the headers
    const section = sections.find((s) => address >= s.address && address < s.address + s.size);
    if (!section) throw new Error("an address is outside all sections");
    return address - section.address + section.file;
  };
  const stub = 0x40; // the DOS header ends here, the stub program nobody runs begins
  const name = Buffer.from(`${host}\0`, "latin1");
  if (name.toString("latin1") !== `${host}\0` || stub + name.length > header) {
    throw new Error(
      `the program's name "${host}" must be plain and at most ${header - stub - 1} long`,
    );
  }
  const importTable = bytes.readUInt32LE(optional + 112 + 8);
  for (let entry = inFile(importTable); bytes.readUInt32LE(entry + 12) !== 0; entry += 20) {
    const at = inFile(bytes.readUInt32LE(entry + 12));
    const imported = bytes.toString("latin1", at, bytes.indexOf(0, at));
    if (imported.toLowerCase() !== "node.exe") continue;
    name.copy(bytes, stub);
    bytes.writeUInt32LE(stub, entry + 12);
    return bytes;
  }
  throw new Error("the addon does not import node.exe");
}
