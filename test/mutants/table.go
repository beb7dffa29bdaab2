package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The table stands between these lines of the document.
const (
	tableBegin = "<!-- The list of test/mutants; written by: cd test && go run ./mutants -write -->\n"
	tableEnd   = "<!-- end of the list -->\n"
)

// table is the list in Markdown, in the order of the invariants.
func table(all []mutant) string {
	var b strings.Builder
	b.WriteString("\n| | invariant | deliberate defect | in | found by |\n|---|---|---|---|---|\n")
	for i, text := range invariants {
		number, name := strconv.Itoa(i+1), text
		for _, m := range all {
			if m.invariant != invariant(i) {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | `%s` | `%s` |\n", number, name, m.name, m.file, strings.ReplaceAll(m.test.String(), "|", `\|`))
			number, name = "", "" // once for its defects
		}
	}
	b.WriteString("\n")
	return b.String()
}

// parts are the document before, in and behind the table.
func parts(path string) (before, list, after []byte, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, nil, err
	}
	before, rest, begins := bytes.Cut(content, []byte(tableBegin))
	list, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !begins || !ends {
		return nil, nil, nil, fmt.Errorf("%s has no place for the list: it stands between the lines\n%s%s", path, tableBegin, tableEnd)
	}
	return before, list, after, nil
}

func checkTable(path string, all []mutant) error {
	_, list, _, err := parts(path)
	if err == nil && string(list) != table(all) {
		err = fmt.Errorf("the list in %s is another one: cd test && go run ./mutants -write", path)
	}
	return err
}

func writeTable(path string, all []mutant) error {
	before, _, after, err := parts(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(string(before)+tableBegin+table(all)+tableEnd+string(after)), 0o600)
}
