package anthropic_test

import (
	"bytes"
	"testing"

	"mendel/internal/propose/provider/anthropic"
	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/research"
)

// TestRolesShareTheirBeginning: the tools come first, then what is shared, up to its breakpoint.
func TestRolesShareTheirBeginning(t *testing.T) {
	server, err := providertest.New(providertest.Options{Protocol: providertest.Anthropic, Play: providertest.OneFile})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := anthropic.New(anthropic.Options{BaseURL: server.URL, Key: providertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sessiontest.SharedBeginning(t, model.New(model.Options{
		Client: client, Name: "anthropic:claude-opus-5-5", ProposerOptions: research.ProposerOptions{Thinking: 4000, WebSearch: true},
	}), server.Bodies)
	if refused := server.Refused(); len(refused) > 0 {
		t.Errorf("the server refuses: %s", refused)
	}
	body := server.Bodies()[0]
	tools, system := bytes.Index(body, []byte(`"tools":`)), bytes.Index(body, []byte(`"system":`))
	if tools < 0 || tools > system {
		t.Errorf("the tools do not stand before the system prompt: %s", body)
	}
}
