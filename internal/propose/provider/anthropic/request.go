package anthropic

import (
	"cmp"
	"encoding/json"
	"slices"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/tool"
)

// A request is the body of POST /v1/messages.
type request struct {
	Model       string    `json:"model"`
	MaxTokens   int       `json:"max_tokens"`
	Stream      bool      `json:"stream"`
	Thinking    *thinking `json:"thinking,omitempty"`
	Temperature *float64  `json:"temperature,omitempty"`
	// What a request begins with is the same for all sessions of a run, then of a role, then of
	// a session, in the order in which the provider caches: tools, system, messages.
	Tools    []any     `json:"tools,omitempty"`
	System   []text    `json:"system,omitempty"`
	Messages []message `json:"messages"`
}

type thinking struct {
	Type         string `json:"type"`
	BudgetTokens int    `json:"budget_tokens,omitempty"`
	Display      string `json:"display,omitempty"`
}

type ownTool struct {
	tool.Definition
	CacheControl *cacheControl `json:"cache_control,omitempty"`
}

type serverTool struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	MaxUses int    `json:"max_uses"`
}

type message struct {
	Role    string `json:"role"`
	Content []any  `json:"content"` // text, toolResult, or what the model said, as it came
}

type text struct {
	Type         string        `json:"type"`
	Text         string        `json:"text"`
	CacheControl *cacheControl `json:"cache_control,omitempty"`
}

type toolResult struct {
	Type         string        `json:"type"`
	ToolUseID    string        `json:"tool_use_id"`
	Content      string        `json:"content"`
	IsError      bool          `json:"is_error,omitempty"`
	CacheControl *cacheControl `json:"cache_control,omitempty"`
}

// A cacheControl ends a part that the provider caches. At most 4 are allowed.
type cacheControl struct {
	Type string `json:"type"`
}

// ephemeral keeps its part for 5 minutes after each use. The roles of a run share the first
// parts and take turns within minutes, so that the hour which costs twice as much to write would
// hardly save a second write.
var ephemeral = &cacheControl{"ephemeral"}

func requestOf(r model.Request) request {
	q := request{Model: r.Model, MaxTokens: r.MaxOutput, Stream: true, Tools: toolsOf(r), Messages: messagesOf(r.Turns)}
	for _, part := range []string{r.Shared, r.Role} {
		if part != "" { // an empty text is refused
			q.System = append(q.System, text{Type: "text", Text: part, CacheControl: ephemeral})
		}
	}
	switch {
	case r.Thinking == 0:
		q.Temperature = r.Temperature
	case takesBudget(r.Model):
		q.Thinking = &thinking{Type: "enabled", BudgetTokens: min(max(r.Thinking, minThinking), r.MaxOutput-1)}
	default:
		q.Thinking = &thinking{Type: "adaptive", Display: "summarized"}
	}
	return q
}

// toolsOf lists the tools in one order, whatever the order they come in: a tool out of place
// would void all that is cached.
func toolsOf(r model.Request) []any {
	own := slices.SortedStableFunc(slices.Values(r.Tools), func(a, b tool.Definition) int { return cmp.Compare(a.Name, b.Name) })
	var list []any
	if r.WebSearch {
		list = append(list, serverTool{Type: "web_search_20250305", Name: "web_search", MaxUses: model.MaxSearches})
	}
	for i, t := range own {
		entry := ownTool{Definition: t}
		if i == len(own)-1 {
			entry.CacheControl = ephemeral
		}
		list = append(list, entry)
	}
	return list
}

// messagesOf writes the conversation, with a cache breakpoint at its end: the next request
// begins with all of this one. Roles alternate, so turns of one side that follow each other
// become one message.
func messagesOf(turns []model.Turn) []message {
	var list []message
	add := func(role string, blocks ...any) {
		if len(blocks) == 0 {
			return
		}
		if n := len(list); n > 0 && list[n-1].Role == role {
			list[n-1].Content = append(list[n-1].Content, blocks...)
			return
		}
		list = append(list, message{Role: role, Content: blocks})
	}
	for i, t := range turns {
		last := i == len(turns)-1
		switch {
		case t.Reply != nil:
			add("assistant", handedBack(t.Reply.Raw)...)
		case t.Results != nil:
			for j, r := range t.Results {
				block := toolResult{Type: "tool_result", ToolUseID: r.ID, Content: r.Text, IsError: r.IsError}
				if last && j == len(t.Results)-1 {
					block.CacheControl = ephemeral
				}
				add("user", block)
			}
		default:
			block := text{Type: "text", Text: t.User}
			if last {
				block.CacheControl = ephemeral
			}
			add("user", block)
		}
	}
	return list
}

// handedBack is what the model said before. Raw was made by [reader.finish].
func handedBack(raw json.RawMessage) []any {
	var blocks []json.RawMessage
	_ = json.Unmarshal(raw, &blocks)
	list := make([]any, len(blocks))
	for i, b := range blocks {
		list[i] = b
	}
	return list
}
