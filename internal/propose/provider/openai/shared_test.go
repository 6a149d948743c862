package openai_test

import (
	"testing"

	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/openai"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session/sessiontest"
	"mendel/internal/research"
)

func TestRolesShareTheirBeginning(t *testing.T) {
	for name, c := range map[string]struct {
		protocol  providertest.Protocol
		make      func(openai.Options) (*openai.Client, error)
		responses bool
	}{
		"gemini:gemini-3.8-flash": {providertest.Gemini(), openai.NewGemini, false},
		"openai:gpt-6.1-sol":      {providertest.Responses(), openai.New, true},
		"openai:qwen3-coder":      {providertest.OpenAI(providertest.Quirks{}), openai.New, false},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := providertest.New(providertest.Options{Protocol: c.protocol, Play: providertest.OneFile})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			client, err := c.make(openai.Options{BaseURL: server.URL + "/v1", Key: providertest.Key, Responses: c.responses})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			sessiontest.SharedBeginning(t, model.New(model.Options{
				Client: client, Name: name, ProposerOptions: research.ProposerOptions{Thinking: 4000},
			}), server.Bodies)
			accepted(t, server)
		})
	}
}
