#!/bin/sh
# Cuts the IWSLT14 German-English archive into the plain text files that configs/iwslt14.yaml reads.
#
#   curl -LO https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz
#   scripts/prepare_iwslt14.sh de-en.tgz data/iwslt14
#
# The split is that of fairseq's script: every 23rd pair is for validation; dev2010, dev2012 and tst2010 to tst2012 make
# the test set. The text stays as it is, cased and untokenised; only the mark-up goes, and training pairs with a blank
# side. fairseq cleans before it splits, so its validation set is a few pairs shorter and shifted against this one.
set -eu
LC_ALL=C
export LC_ALL

if [ $# -ne 2 ]; then
    echo "usage: $0 ARCHIVE.tgz FOLDER" >&2
    exit 2
fi
archive=$1
folder=$2
if [ ! -f "$archive" ]; then
    echo "$0: no file $archive" >&2
    exit 2
fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/unpacked.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
tar -xzf "$archive" -C "$work"

for language in de en; do
    # Transcripts: lines of metadata go, titles and descriptions stay as sentences.
    grep -v -e '<url>' -e '<talkid>' -e '<keywords>' "$work/de-en/train.tags.de-en.$language" |
        sed -e 's/<[/]*title>//g' -e 's/<[/]*description>//g' -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' \
            >"$work/all.$language"

    for set in TED.dev2010 TEDX.dev2012 TED.tst2010 TED.tst2011 TED.tst2012; do
        sed -n 's/^[[:space:]]*<seg id="[0-9]*">[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*<\/seg>[[:space:]]*$/\1/p' \
            "$work/de-en/IWSLT14.$set.de-en.$language.xml"
    done >"$work/test.$language"
done

for part in all test; do
    de_lines=$(wc -l <"$work/$part.de")
    en_lines=$(wc -l <"$work/$part.en")
    if [ "$de_lines" -ne "$en_lines" ] || [ "$de_lines" -eq 0 ]; then
        echo "$0: $archive: the sides do not match: $de_lines German and $en_lines English lines ($part)" >&2
        exit 4
    fi
done

# Both sides are read together, so that a pair is kept or dropped as a whole.
awk -v work="$work" '
    {
        de = $0
        getline en < (work "/all.en")
        if (de == "" || en == "") next
        part = ++pairs % 23 == 0 ? "valid" : "train"
        print de > (work "/" part ".de")
        print en > (work "/" part ".en")
    }
' "$work/all.de"

for part in train valid test; do
    for language in de en; do
        mv "$work/$part.$language" "$folder/$part.$language"
    done
    echo "$folder/$part.{de,en}: $(($(wc -l <"$folder/$part.de"))) pairs"
done
