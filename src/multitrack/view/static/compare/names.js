/** What compared runs are called: where all their names agree, an ellipsis stands. */

const LONG = 12;
const MARK = "…";
const WORDS = /(?<=[-_/\s,;:|])(?<!\de-)/i; // behind each separator, but not inside of 1e-3

/**
 * Return a label for each run, no two the same.
 * @param {{id: string, name?: string}[]} runs
 * @returns {Map<string, string>} by run id
 */
export function labelsOf(runs) {
  const names = runs.map((run) => run.name || run.id);
  const short = shortened(names);
  const isTwice = (name) => names.indexOf(name) !== names.lastIndexOf(name);
  const label = (run, index) => (isTwice(names[index]) ? `${short[index]} · ${idEnd(run.id)}` : short[index]);
  return new Map(runs.map((run, index) => [run.id, label(run, index)]));
}

function shortened(names) {
  const words = names.map((name) => name.split(WORDS));
  const least = Math.min(...words.map((one) => one.length)) - 1;
  if (new Set(names).size < 2 || Math.max(...names.map((name) => name.length)) <= LONG) return names;
  const first = agreeing(words, least, (one, index) => one[index]);
  const last = agreeing(words, least - first, (one, index) => one.at(-1 - index));
  return words.map((one) => {
    const own = one.slice(first, one.length - last).join("");
    return `${first ? MARK : ""}${own}${last ? MARK : ""}`;
  });
}

/** Return how many words are the same in all, counted as `wordAt` does. */
function agreeing(words, most, wordAt) {
  let count = 0;
  while (count < most && words.every((one) => wordAt(one, count) === wordAt(words[0], count))) count += 1;
  return count;
}

function idEnd(id) {
  return id.split("-").at(-1);
}
