package notify

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Card is a message for a chat. All of it is plain text.
type Card struct {
	Title    string
	Sections []Section
	Facts    []Fact
	// Button leads to the page.
	Button Link
	// Note stands in small letters at the end.
	Note string
}

// Section is a part of a card: a heading, which may be empty, and text.
type Section struct{ Heading, Text string }

// Fact is a value with its name. With a URL, the value leads there.
type Fact struct{ Name, Value, URL string }

// Link is a text that leads to a URL.
type Link struct{ Text, URL string }

// Slack's limits, in characters (Slack's reference of Block Kit: header,
// section, context, button).
const (
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxFields  = 10
	maxContext = 3000
	maxButton  = 75
	maxURL     = 3000
)

type block struct {
	Type     string    `json:"type"`
	Text     *text     `json:"text,omitempty"`
	Fields   []text    `json:"fields,omitempty"`
	Elements []element `json:"elements,omitempty"`
}

type text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim *bool  `json:"verbatim,omitempty"`
}

// element is a text of a context block or a button of an actions block.
type element struct {
	Type     string `json:"type"`
	Text     any    `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	ActionID string `json:"action_id,omitempty"`
	Style    string `json:"style,omitempty"`
	URL      string `json:"url,omitempty"`
}

// plain is text without mark-up: no mention, no link, no emoji, whatever it
// holds. Text from outside stands in nothing else. Slack refuses an empty one.
func plain(s string, most int) *text {
	off := false
	if strings.TrimSpace(s) == "" {
		s = "–"
	}
	return &text{Type: "plain_text", Text: escape(s, most), Emoji: &off}
}

// markup is Slack's mrkdwn, for words that are Keyturn's own.
func markup(s string) *text {
	on := true
	return &text{Type: "mrkdwn", Text: s, Verbatim: &on}
}

// escape writes the three characters that have a meaning to Slack as entities
// ("Escaping text" in Slack's documentation), and cuts what is too long between
// two characters.
func escape(s string, most int) string {
	var b strings.Builder
	length := 0
	var at []int // the ends of what may be kept, in bytes
	for _, r := range s {
		piece := string(r)
		switch r {
		case '&':
			piece = "&amp;"
		case '<':
			piece = "&lt;"
		case '>':
			piece = "&gt;"
		}
		if length += utf8.RuneCountInString(piece); length > most {
			for len(at) > 0 && utf8.RuneCountInString(b.String()[:at[len(at)-1]]) > most-1 {
				at = at[:len(at)-1]
			}
			if len(at) == 0 {
				return "…"
			}
			return b.String()[:at[len(at)-1]] + "…"
		}
		b.WriteString(piece)
		at = append(at, b.Len())
	}
	return b.String()
}

// blockKit is the card as an incoming webhook of Slack's takes it. The top-level
// text is what notifications show.
func (c Card) blockKit() ([]byte, error) {
	blocks := []block{{Type: "header", Text: plain(c.Title, maxHeader)}}
	for _, s := range c.Sections {
		if s.Heading != "" {
			blocks = append(blocks, block{Type: "section", Text: markup("*" + escape(s.Heading, maxField) + "*")})
		}
		blocks = append(blocks, block{Type: "section", Text: plain(s.Text, maxSection)})
	}
	if c.Button.URL != "" {
		blocks = append(blocks, block{Type: "actions", Elements: []element{{
			Type: "button", Text: plain(c.Button.Text, maxButton), ActionID: "answer", Style: "primary", URL: c.Button.URL,
		}}})
	}
	// Name and value side by side: Slack sets fields in two columns.
	var fields []text
	for _, f := range c.Facts {
		value := plain(f.Value, maxField)
		if f.URL != "" {
			value = markup("<" + escape(f.URL, maxField) + "|" + escape(strings.ReplaceAll(f.Value, "|", "/"), maxHeader) + ">")
		}
		fields = append(fields, *markup("*" + escape(f.Name, maxHeader) + "*"), *value)
		if len(fields) == maxFields {
			blocks = append(blocks, block{Type: "section", Fields: fields})
			fields = nil
		}
	}
	if len(fields) > 0 {
		blocks = append(blocks, block{Type: "section", Fields: fields})
	}
	if c.Note != "" {
		note := plain(c.Note, maxContext)
		blocks = append(blocks, block{Type: "context", Elements: []element{{Type: note.Type, Text: note.Text, Emoji: note.Emoji}}})
	}
	return json.Marshal(map[string]any{
		"text":         escape(c.Title, maxSection),
		"blocks":       blocks,
		"unfurl_links": false,
		"unfurl_media": false,
	})
}
