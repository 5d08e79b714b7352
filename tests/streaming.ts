// Loads a model as training does, and prints how much the host held beside what the device did.
import { loadWeights } from "../src/architectures/load.ts";
import { openModel } from "../src/architectures/model.ts";
import { Device } from "../src/gpu/device.ts";
import { Memory } from "../src/graph/memory.ts";
import { quantOf } from "../src/settings/model.ts";
import { recordValidation } from "../src/trainer/program.ts";

const [dir, quant] = process.argv.slice(2);
const model = { ...await openModel(dir!), quant: quantOf({ quant }) };
const device = await Device.open();
const memory = new Memory(device);
const size = { tokens: 64, targets: 64 };
const { g } = recordValidation(model, { size, positions: 64, full: false });
const base = process.memoryUsage.rss();
let most = 0, loaded = 0;
await loadWeights(model, memory, g.all("frozen"), (done) => {
  // A software adapter's buffers are memory of this process too.
  const own = device.capabilities.software ? done : 0;
  most = Math.max(most, process.memoryUsage.rss() - base - own);
  loaded = done;
});
console.log(JSON.stringify({ most, loaded, allocated: device.bytes }));
device.close();
process.exit(0);
