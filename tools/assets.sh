#!/bin/sh
# assets.sh FILES...   the files as C on standard output: the table that src/serve/assets.h declares. `make` calls it
# with all of dashboard/ and third_party/uplot/. Each goes by its name without the folder, and its ending says its type.
set -eu

complain() { echo "assets.sh: $1" >&2; exit 1; }

type_of() {
  case $1 in
    *.html) echo "text/html; charset=utf-8" ;;
    *.css) echo "text/css; charset=utf-8" ;;
    *.js) echo "text/javascript; charset=utf-8" ;;
    *.svg) echo "image/svg+xml; charset=utf-8" ;;
    *.txt | LICENSE) echo "text/plain; charset=utf-8" ;;
  esac
}

names="" table="" n=0
echo "/* Made by tools/assets.sh from the files of the dashboard. */"
echo '#include "serve/assets.h"'
for file in "$@"; do
  name=${file##*/}
  case $name in *[!A-Za-z0-9._-]*) complain "$file: a name may hold but letters, digits, '.', '_' and '-'; rename it" ;; esac
  case " $names " in *" $name "*) complain "$file: there is a $name in another folder already; rename one of them" ;; esac
  [ -n "$(type_of "$name")" ] || complain "$file: no type is known for this ending; add it to type_of, or move the file"
  [ -s "$file" ] || complain "$file: is empty, or no file; write it, or remove it"
  echo "static const guint8 file_${n}[] = {"
  od -An -v -tu1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
  echo "};"
  table="$table    {\"$name\", \"$(type_of "$name")\", file_$n, sizeof file_$n},
" names="$names $name" n=$((n + 1))
done
printf 'const Asset assets[] = {\n%s};\nconst guint n_assets = %d;\n' "$table" "$n"
