package providertest

import "fmt"

// OneFile is a model that submits one new file in each conversation and says no more.
func OneFile(r Request) Reply {
	if r.Replies > 0 {
		return Reply{Text: "That is all."}
	}
	return Reply{Calls: []Call{
		{Name: "edit_file", Args: fmt.Sprintf(`{"path":"n%d.py","old":"","new":"a = %d\n"}`, r.Number, r.Number)},
		{Name: "submit_trial", Args: `{"hypothesis":"one more file","expected_delta":0}`},
	}}
}

// Bodies are the requests that were accepted, as they came.
func (s *Server) Bodies() [][]byte {
	var list [][]byte
	for _, r := range s.Requests() {
		list = append(list, r.Body)
	}
	return list
}
