#!/bin/sh
# A function of a flow, as a command: it counts the words of texts, and sorts the lines of each of them.
#
# The texts are the files in texts/ of the directory that DIREKTIV_TEMPDIR names. It leaves there
# out/workflow/summary.txt, and the sorted texts in out/workflow/sorted/. Its input, which it does not look at, comes
# on standard input; its result goes to standard output; what it says on standard error goes to the instance's log.
set -eu
cd "$DIREKTIV_TEMPDIR"

texts=0
words=0
mkdir out/workflow/sorted
for path in texts/*; do
    [ -f "$path" ] || continue
    LC_ALL=C sort "$path" > "out/workflow/sorted/${path##*/}"
    texts=$((texts + 1))
    words=$((words + $(wc -w < "$path")))
done

if [ "$texts" -eq 0 ]; then
    rmdir out/workflow/sorted
    # The code of an error, and a message below it.
    printf 'texts.none\nthere is nothing in texts/\n' > "$DIREKTIV_ERROR_FILE"
    exit 1
fi
echo "$texts texts, $words words" > out/workflow/summary.txt
echo "sorted $texts texts" >&2
printf '{"texts": %d, "words": %d}\n' "$texts" "$words"
