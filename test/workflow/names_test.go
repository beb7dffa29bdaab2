package workflow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"keyturn/internal/playground"
	"keyturn/internal/rotation"
)

func TestTheNameOfAnExecutionIsTheLock(t *testing.T) {
	parallel(t)
	s := app(t)
	name := rotation.ExecutionName(s.target, s.oldKid, time.Now())
	input := policy{"reminderHours": unreminded}
	first, err := s.p.Rotate(s.ctx, name, s.target, input)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{scene: s, rotation: first, started: time.Now().Add(-limit)}
	link := r.link(playground.Approver)

	var exists *types.ExecutionAlreadyExists
	if _, err := s.p.Rotate(s.ctx, name, s.target, policy{"uploadOrder": "after-switch"}); !errors.As(err, &exists) {
		t.Errorf("a second start under the name with another input: %v", err)
	}
	// AWS answers the very same start with the running execution, MiniStack
	// refuses it; neither starts another one.
	second, err := s.p.Rotate(s.ctx, name, s.target, input)
	if err == nil && second.ARN != first.ARN || err != nil && !errors.As(err, &exists) {
		t.Errorf("a second start under the name with the same input: %v %v", second, err)
	}
	s.decide(link, "confirm", "", "")
	report := r.end()
	ended(t, "Completed", report)
	if _, err := s.p.Rotate(s.ctx, name, s.target, input); !errors.As(err, &exists) {
		t.Errorf("a start under the name of a rotation that has ended: %v", err)
	}
	s.oneNewKey(report)
	if !strings.HasSuffix(first.ARN, ":"+name) {
		t.Errorf("the execution %s has another name than %s", first.ARN, name)
	}
}

func TestTwoRotationsOfATargetShareItsNewKey(t *testing.T) {
	parallel(t)
	for _, kind := range bothKinds {
		t.Run("one begins while the other waits, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			first := s.rotate(nil)
			firstLink := first.link(playground.Approver)
			second := s.rotate(policy{"approvers": []string{"second@example.com"}})
			secondLink := second.link("second@example.com")
			s.decide(firstLink, "confirm", "", "")
			report := first.end()
			ended(t, "Completed", report)
			s.decide(secondLink, "confirm", "", "")
			late := second.end()
			ended(t, "Completed", late)
			same(t, "the second rotation's new key", report.NewKid, late.NewKid)
			same(t, "switches", 1, s.times(operations[kind].replace))
			s.oneNewKey(report)
			s.switched(report.NewKid)
		})
		t.Run("the second is rejected when the first has switched: users keep the key that works, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			first := s.rotate(nil)
			firstLink := first.link(playground.Approver)
			second := s.rotate(policy{"approvers": []string{"second@example.com"}})
			secondLink := second.link("second@example.com")
			s.decide(firstLink, "confirm", "", "")
			report := first.end()
			ended(t, "Completed", report)
			s.decide(secondLink, "reject", "", "no")
			ended(t, "GaveUp", second.end())
			s.switched(report.NewKid)
		})
		t.Run("both begin at the same moment: nothing breaks, "+string(kind), func(t *testing.T) {
			t.Parallel()
			s := either(t, kind)
			who := []string{"first@example.com", "second@example.com"}
			var rotations []*running
			for _, approver := range who {
				rotations = append(rotations, s.rotate(policy{"approvers": []string{approver}}))
			}
			var reports []playground.Report
			for i, approver := range who {
				s.decide(rotations[i].link(approver), "confirm", "", "")
				reports = append(reports, rotations[i].end())
			}
			// Nothing locks a target in Okta, and the names differ: each may
			// have generated a key. What holds is that the first confirmation
			// switches, once, and that the second undoes nothing.
			ended(t, "Completed", reports[0])
			if reports[1].NewKid == reports[0].NewKid {
				ended(t, "Completed", reports[1])
				s.oneNewKey(reports[0])
			} else {
				ended(t, "Failed", reports[1])
				failedWith(t, reports[1].Error, "UpdateKeyCredential", "Target.Changed", reports[0].NewKid)
				leftBehind(t, reports[1])
			}
			same(t, "switches", 1, s.times(operations[kind].replace))
			s.switched(reports[0].NewKid)
			s.inMetadata(reports[0].NewKid)
		})
	}
}
