package asl_test

import (
	"os"
	"testing"

	"keyturn/test/asl"
)

// functions are the placeholders of the real definitions.
var functions = map[string]string{"Partition": "aws"}

func init() {
	for _, name := range []string{"InspectTarget", "GenerateCsr", "SignCsr", "PublishCsr", "CloneCertificate", "UpdateKeyCredential",
		"VerifyKey", "RevokeCsr", "RequestUpload", "ListApps", "StartRotations", "ReportInventory"} {
		functions[name+"Function"] = "arn:aws:lambda:eu-west-1:123456789012:function:keyturn-" + name
	}
}

func TestTheRealDefinitionsAreKnownInFull(t *testing.T) {
	for _, name := range []string{"rotation", "discovery"} {
		text, err := os.ReadFile("../../statemachine/" + name + ".asl.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := asl.Parse(text, functions); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
