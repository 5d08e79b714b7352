/**
 * Makes sure that WebGPU has an adapter. Where a Linux machine has none, installs a software
 * Vulkan driver (Debian and Ubuntu, as root or with a sudo that asks nothing) or says what to do.
 *
 *   bun scripts/setup.ts           install what is missing
 *   bun scripts/setup.ts --check   only say whether there is an adapter (exit 0 or 1)
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listAdapters } from "../src/gpu/adapter.ts";
import { backportsSource } from "./setup_apt.ts";

const packages = ["libvulkan1", "mesa-vulkan-drivers"];

if (process.platform !== "linux") process.exit(0); // Metal and Direct3D come with the system
if ((await listAdapters()).listed.length > 0) process.exit(0);
if (process.argv.includes("--check")) process.exit(1);

const release = osRelease();
const debian = release.ID === "debian" || (release.ID_LIKE ?? "").split(" ").includes("debian");
const prefix = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
if (!debian || !existsSync("/usr/bin/apt-get")) stop("this script only knows apt");
if (prefix.length > 0 && !run(["sudo", "-n", "true"])) stop("this needs root");

console.error("No Vulkan adapter: installing a software one (Mesa lavapipe).");
if (release.VERSION_CODENAME === "bookworm") addBackports();
if (!apt(["update"])) stop("apt-get update failed");
// Mesa 22.3, which Debian 12 has of its own, lacks what WebGPU needs.
const from = release.VERSION_CODENAME === "bookworm" ? ["-t", "bookworm-backports"] : [];
if (!apt(["install", "-y", "--no-install-recommends", ...from, ...packages])) {
  stop(`apt-get install ${packages.join(" ")} failed`);
}
// In a new process, because this one has already tried to load Vulkan.
if (!run([process.execPath, import.meta.path, "--check"])) {
  stop("the driver is installed but offers no adapter");
}
console.error("Done: WebGPU has a software adapter.");

function addBackports(): void {
  const folder = "/etc/apt/sources.list.d";
  const files = ["/etc/apt/sources.list"];
  if (existsSync(folder)) files.push(...readdirSync(folder).map((name) => join(folder, name)));
  const texts = files.filter((file) => /\.(list|sources)$/.test(file) && existsSync(file))
    .map((file) => ({ deb822: file.endsWith(".sources"), text: readFileSync(file, "utf8") }));
  const source = backportsSource(texts, "bookworm");
  if (source === "present") return;
  if (!source) stop("no apt source offers bookworm, so its backports cannot be found");
  const target = join(folder, `whet-backports.${source.deb822 ? "sources" : "list"}`);
  if (prefix.length === 0) writeFileSync(target, source.text);
  else if (
    Bun.spawnSync([...prefix, "tee", target], { stdin: Buffer.from(source.text), stdout: "ignore" })
      .exitCode !== 0
  ) stop(`${target} cannot be written`);
  console.error(`Added ${target} (remove it whenever you like).`);
}

function apt(words: string[]): boolean {
  const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
  return run([...prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...quiet, ...words]);
}

function run(command: string[]): boolean {
  const { exitCode } = Bun.spawnSync(command, { stdin: "ignore", stdout: 2, stderr: "inherit" });
  return exitCode === 0;
}

function osRelease(): Record<string, string> {
  if (!existsSync("/etc/os-release")) return {};
  const lines = readFileSync("/etc/os-release", "utf8").matchAll(/^(\w+)="?([^"\n]*)"?$/gm);
  return Object.fromEntries([...lines].map((match) => [match[1]!, match[2]!]));
}

function stop(why: string): never {
  console.error(`WebGPU finds no adapter on this machine, and ${why}.
Install your GPU's Vulkan driver, or the software driver lavapipe:
  Debian 13, Ubuntu:  sudo apt-get install libvulkan1 mesa-vulkan-drivers
  Debian 12:          the same from bookworm-backports (apt-get install -t bookworm-backports …)
  Fedora:             sudo dnf install vulkan-loader mesa-vulkan-drivers
  Arch:               sudo pacman -S vulkan-icd-loader vulkan-swrast`);
  process.exit(1);
}
