package oktaspec

import "testing"

func TestX(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(s.routes))
}
