package starting_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"keyturn/internal/inventory"
	"keyturn/internal/inventory/starting"
	"keyturn/internal/lambdastep"
	"keyturn/internal/rotation"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

func (l *lab) bucketDelete(key string) error {
	return l.s3.Bucket(l.name).Delete(l.t.Context(), key)
}

func TestTheTaskTokenIsInNoObjectAndNoLog(t *testing.T) {
	l := newLab(t)
	waiting, failed := due(1, 3), due(2, 20)
	l.ask(l.stepFunctions.run(nameOf(waiting), inputFor(waiting.Target), time.Hour), asking(waiting), time.Hour)
	l.end(l.stepFunctions.run("app-"+idOf(2)+"-K-00002_-20260227", "{}", 40*time.Hour), types.ExecutionStatusFailed, 20*time.Hour, `{"Payload":{"taskToken":"`+taskToken+`"}}`)
	l.found("r", 25, waiting, failed, due(3, 4))

	var log, answers bytes.Buffer
	function := lambdastep.Handler("start-rotations", &log, func() (lambdastep.Step[inventory.StartRotationsInput, inventory.StartRotationsOutput], error) {
		return starting.Rotations{StepFunctions: l.stepFunctions, MachineARN: machineARN, Bucket: l.bucket}.Run, nil
	})
	input, err := json.Marshal(inventory.StartRotationsInput{Run: begun("r")})
	if err != nil {
		t.Fatal(err)
	}
	call := func() {
		out, err := function.Invoke(t.Context(), input)
		answers.Write(out)
		if err != nil {
			answers.WriteString(err.Error())
		}
	}
	for _, operation := range []string{"ListExecutions", "DescribeExecution", "GetExecutionHistory", "StartExecution"} {
		for _, err := range []error{errNoAnswer, coded("ThrottlingException"), coded("AccessDeniedException")} {
			l.fail(fault{operation: operation, err: err})
			call()
		}
	}
	call()
	starts := l.starts("r")
	if starts.Running[0].Stage != rotation.StageUpload || starts.Dues[2].Action != inventory.ActionStart {
		t.Fatalf("%+v", starts)
	}
	all := map[string][]byte{"the log": log.Bytes(), "the answers": answers.Bytes()}
	for _, key := range l.s3.Keys("b") {
		all[key] = l.s3.Content("b", key)
	}
	if len(all) < 7 {
		t.Errorf("only %d places were looked at", len(all))
	}
	for where, content := range all {
		if strings.Contains(string(content), "s3cr3t") {
			t.Errorf("%s has the task token: %.500s", where, content)
		}
	}
}
