// A function of a flow, in JavaScript: it counts the words of texts, and sorts the lines of each of them.
//
//     node texts.mjs 9002
//
// The texts are the files in texts/ of the directory that the header Direktiv-TempDir names. It leaves there
// out/workflow/summary.txt, and the sorted texts in out/workflow/sorted/.

import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

async function work(folder) {
  const entries = await readdir(join(folder, "texts"), { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
  if (names.length === 0) throw Object.assign(new Error("there is nothing in texts/"), { function: "texts.none" });
  const target = join(folder, "out", "workflow", "sorted");
  await mkdir(target);
  let words = 0;
  for (const name of names) {
    const text = await readFile(join(folder, "texts", name), "utf8");
    words += text.split(/\s+/).filter(Boolean).length;
    const lines = text.replace(/\n$/, "").split("\n").sort();
    await writeFile(join(target, name), lines.map((line) => `${line}\n`).join(""));
  }
  await writeFile(join(folder, "out", "workflow", "summary.txt"), `${names.length} texts, ${words} words\n`);
  return { texts: names.length, words };
}

const server = createServer(async (request, response) => {
  // A DELETE says that the call with this Direktiv-ActionID is cancelled. It takes a moment only: nothing to stop.
  if (request.method !== "POST") return response.end();
  for await (const piece of request); // the input, which this function does not look at
  try {
    response.end(JSON.stringify(await work(request.headers["direktiv-tempdir"])));
  } catch (error) {
    if (error.function) {
      response.setHeader("Direktiv-ErrorCode", error.function);
      response.setHeader("Direktiv-ErrorMessage", error.message);
    } else {
      response.statusCode = 500;
    }
    response.end(String(error));
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening at http://127.0.0.1:${server.address().port}/`);
});
