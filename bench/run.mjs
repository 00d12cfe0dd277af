// npm run bench: the measurements of bench/README.md. Ends with 1 when an answer was wrong.
import { diff } from './diff.mjs';
import { doctorFleet } from './doctor-fleet.mjs';
import { simulated } from './machine.mjs';
import { machine } from './measure.mjs';
import { resolution } from './resolution.mjs';
import { space } from './space.mjs';
import { startup } from './startup.mjs';

const print = (text) => process.stdout.write(text);

print(`${machine()}\n\n`);
const swept = [];
const ok = [space((text) => swept.push(text)), resolution(print), startup(print)];
print(swept.join(''));
ok.push(diff(print));
ok.push(await doctorFleet(print), simulated(print));
process.exitCode = ok.every(Boolean) ? 0 : 1;
