# films.sh - the second part of the demo, read by run.sh: films with metadata and text go in, and are searched
# by words, filters, examples and all of them together. Uses omen, here, out, server and say of run.sh; each
# search leaves $out/film-N.json (the answer) and film-N.txt (what it is, and its command).
# SPDX-License-Identifier: Apache-2.0
films=$here/films
film_searches=0

# An argument as one would type it.
quoted() {
    case $1 in
        *\'*) printf '"%s"' "${1//\$/\\$}" ;;
        *[!A-Za-z0-9_./:=,-]*) printf "'%s'" "$1" ;;
        *) printf '%s' "$1" ;;
    esac
}

# film TITLE COMMAND ARGUMENT...: runs it for people and for the report.
film() {
    local title=$1 command="omen $2 films" argument
    shift
    local verb=$1
    shift
    for argument in "$@"; do
        command+=" $(quoted "$argument")"
    done
    film_searches=$((film_searches + 1))
    say "  $title"
    printf '  $ %s\n' "$command"
    printf '%s\n%s\n' "$title" "$command" >"$out/film-$film_searches.txt"
    if [ "$verb" = search ]; then
        "$omen" search films "$@" -k 5 --fields title,year,genres "${server[@]}"
        "$omen" search films "$@" -k 5 --metadata --explain "${server[@]}" --json \
            >"$out/film-$film_searches.json"
    else
        "$omen" "$verb" films "$@" "${server[@]}"
        "$omen" "$verb" films "$@" "${server[@]}" --json >"$out/film-$film_searches.json"
    fi
    echo
}

say "Streaming films with title, year, genres, cast and text in"
"$omen" create films --dim 256 --dtype i8 --metric cosine --field title:text:weight=2 --field text:text \
    "${server[@]}" --quiet
"$omen" import films "$films/films.i8.npy.gz" --metadata "$films/films.jsonl.gz" "${server[@]}" --json \
    >"$out/film-import.json"

say "Searching them"
film "Two words, one after the other" search --text '"serial killer"'
film "Words, among the science fiction of two decades" search --text "space travel" \
    --filter "year BETWEEN 1950 AND 1969 AND genres CONTAINS 'Science Fiction'"
film "Like Alien (1979), but newer" search --like 11298 --filter "year >= 1985"
film "Like Jaws (1975), and about sharks: two lists become one" search --text shark --like 11030
film "Genres of the films since 1970" count --filter "year >= 1970" --facet genres
