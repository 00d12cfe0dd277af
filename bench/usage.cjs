// Preloaded into a measured process: as it ends, writes its peak resident memory (KiB) and its time on processors
// (ms, all threads) to descriptor 3.
const { writeSync } = require('node:fs');

process.on('exit', () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  writeSync(3, JSON.stringify({ rss: maxRSS, cpu: (userCPUTime + systemCPUTime) / 1000 }));
});
