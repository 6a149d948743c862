package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/wire"
)

// Whatever a server sends is a reply that can be handed back, or an error of its class.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"a","input":{}}}
{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}
{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}
{"type":"message_stop"}`))
	f.Add([]byte(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking"}}
{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}`))
	f.Add([]byte(`{"type":"content_block_start","index":0,"content_block":{"type":7,"text":[]}}`))
	client, err := wire.New(wire.Options{BaseURL: "http://x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, lines []byte) {
		r := reader{wire: client}
		for line := range bytes.Lines(lines) {
			if done, err := r.take(wire.Event{Data: line}); err != nil {
				var failed *model.Error
				if !errors.As(err, &failed) {
					t.Fatalf("the error is %v", err)
				}
				return
			} else if done {
				break
			}
		}
		reply, err := r.finish()
		if err != nil {
			t.Fatal(err)
		}
		messages := messagesOf([]model.Turn{{User: "a"}, {Reply: &reply}, {User: "b"}})
		if body, err := json.Marshal(messages); err != nil {
			t.Fatalf("it cannot be handed back: %v\n%s", err, body)
		}
	})
}
