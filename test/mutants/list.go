package main

import "strings"

// invariant is something that must hold whatever happens, by its place in
// invariants.
type invariant int

const (
	activeKey invariant = iota
	whatCompletedMeans
	oldKeyElse
	nothingElse
	noCSRLeft
	nextCompletes
	somebodyTold
	noSecrets
	budgets
	rights
	noSwitchBefore
	singleUse
	comparison
	anotherKey
	ninetyDays
	outsideInput
)

// invariants are their texts, in the order of the constants.
var invariants = []string{
	activeKey:          "the active kid is the old or the new one, and its certificate verifies",
	whatCompletedMeans: "Completed: the new key is active, and the partner has its certificate",
	oldKeyElse:         "RolledBack, GaveUp, Failed: the old key is active",
	nothingElse:        "nothing else of the target changes",
	noCSRLeft:          "no CSR of ours is left pending, but one that the report names",
	nextCompletes:      "the next rotation completes without help",
	somebodyTold:       "somebody is told",
	noSecrets:          "no secret is in logs, errors or events",
	budgets:            "Okta is asked no more often than the budget allows",
	rights:             "a role has the rights that it needs, and no others",
	noSwitchBefore:     "before-switch: no switch without a confirmation",
	singleUse:          "a link decides once, by the form that it showed, until it is replaced",
	comparison:         "the switch starts from the document that was inspected, and compares with it",
	anotherKey:         "a certificate for another key, or by another CA, is refused",
	ninetyDays:         "nothing with 90 days or less is signed, published or switched to",
	outsideInput:       "what comes from outside is read as it is meant, or refused",
}

func (i invariant) String() string { return invariants[i] }

// open are invariants without a defect yet.
var open []invariant

// mutant is one deliberate defect.
type mutant struct {
	// name says what is wrong then.
	name      string
	invariant invariant
	// file is the path in the repository; old stands in it once, and becomes
	// new.
	file, old, new string
	// test is what must fail.
	test test
}

// test names tests as "go test" does.
type test struct {
	// module is the folder of the module: "." or "test".
	module string
	// pkg is relative to it, such as ./internal/steps; run is for -run.
	pkg, run string
}

// String is the command.
func (t test) String() string {
	dir := ""
	if t.module != "." {
		dir = "-C " + t.module + " "
	}
	return "go test " + dir + t.pkg + " -run '" + t.run + "'"
}

// unit is a test beside the code, faults one of whole rotations in one process,
// stack one on the deployed local stack.
func unit(pkg, run string) test { return test{".", "./internal/" + pkg, run} }
func faults(run string) test    { return test{"test", "./faults", run} }
func stack(run string) test     { return test{"test", "./workflow", run} }

const definition = "statemachine/rotation.asl.json"

// lines are those of a file, joined.
func lines(text ...string) string { return strings.Join(text, "\n") }

// mutants are all deliberate defects, in the order of the invariants. To add
// one: write it here, run "cd test && go run ./mutants -write", and see that
// "make mutants" finds it.
var mutants = []mutant{
	{
		"what Okta shows after the switch is not looked at", activeKey, "internal/steps/update_key_credential.go",
		`if kid := after.ActiveKid(); kid != in.ToKid {`, `if kid := after.ActiveKid(); false && kid != in.ToKid {`,
		unit("steps", "TestUpdateThatOktaAcceptsAndIgnoresIsAnError"),
	},
	{
		"the metadata may have any certificate", activeKey, "internal/steps/verify_key.go",
		`if !bytes.Equal(got.der, want) {`, `if false {`,
		unit("steps", "TestVerificationOfAnIDPBeforeTheSwitchFails"),
	},
	{
		"the metadata may have the certificate for another use", activeKey, "internal/steps/verify_key.go",
		`c.use == "signing" || c.use == both`, `true`,
		unit("steps", "TestVerificationReadsEveryFormOfMetadata|FuzzMetadata/for-encryption-alone"),
	},
	{
		"a key that another tool published counts as ours", activeKey, "internal/steps/sign_csr.go",
		`return ours, err`, `return true, err`,
		unit("steps", "TestSwitchIsNeverMadeToAKeyThatAnotherToolPublished"),
	},

	{
		"after the confirmation there is no switch", whatCompletedMeans, definition,
		lines(`        {"Condition": "{% $exists($decision.switchAt) %}", "Next": "AwaitSwitchTime"}`, `      ],`, `      "Default": "UpdateKeyCredential"`),
		lines(`        {"Condition": "{% $exists($decision.switchAt) %}", "Next": "AwaitSwitchTime"}`, `      ],`, `      "Default": "Report"`),
		faults("TestMatrix/^app_before-switch_confirm_local$/^$"),
	},
	{
		"after-switch: the approvers are not asked", whatCompletedMeans, definition,
		`{"Condition": "{% $policy.uploadOrder = 'after-switch' %}", "Next": "RequestUpload"},`, `{"Condition": "{% false %}", "Next": "RequestUpload"},`,
		faults("TestMatrix/^app_after-switch_confirm_local$/^$"),
	},
	{
		"after a wait nobody looks at the active key", whatCompletedMeans, definition,
		`{"Condition": "{% $switched %}", "Next": "ReadActiveKey"},`, `{"Condition": "{% $switched %}", "Next": "Report"},`,
		faults("TestPeopleInterfere/^app_after-switch_confirm_local_an_admin_switches_the_key$"),
	},

	{
		"a switch that is delivered after the way back is made", oldKeyElse, "internal/steps/update_key_credential.go",
		`(digest != in.Digest || in.UpdatedSince(before.Field("lastUpdated")))`, `digest != in.Digest`,
		unit("steps", "TestSwitchThatComesAgainAfterTheWayBackIsNotMade"),
	},
	{
		"the way back believes an answer that may be old", oldKeyElse, "internal/steps/update_key_credential.go",
		`case in.Back && in.Insist:`, `case in.Back && in.Insist && false:`,
		unit("steps", "TestWayBackThatInsistsUpdatesWhereTheOldKidShows"),
	},
	{
		"a rejection after the switch brings nothing back", oldKeyElse, definition,
		`{"Condition": "{% $switched %}", "Assign": {"result": "RolledBack"}, "Next": "RestoreKeyCredential"},`,
		`{"Condition": "{% $switched %}", "Assign": {"result": "RolledBack"}, "Next": "Report"},`,
		faults("TestMatrix/^app_after-switch_reject_local$/^$"),
	},
	{
		"an edit stops the way back", oldKeyElse, "internal/steps/update_key_credential.go",
		`if !in.Back && (digest != in.Digest || in.UpdatedSince(before.Field("lastUpdated"))) {`, `if digest != in.Digest || in.UpdatedSince(before.Field("lastUpdated")) {`,
		unit("steps", "TestWayBackKeepsWhatSomebodyEditedSince"),
	},
	{
		"the way back is undone where it drifts", oldKeyElse, "internal/steps/update_key_credential.go",
		lines(`	if in.Back {`, `		// The old key stays active`), lines(`	if false {`, `		// The old key stays active`),
		unit("steps", "TestWayBackThatDriftsKeepsTheOldKid"),
	},

	{
		"a drift is passed over", nothingElse, "internal/steps/update_key_credential.go",
		`if len(differences) > 0 {`, `if false {`,
		unit("steps", "TestDriftIsShownAndThePreviousDocumentPutBack"),
	},
	{
		"the switch of an app leaves out its label", nothingElse, "internal/okta/document.go",
		`[]string{"name", "label", "signOnMode"}`, `[]string{"name", "signOnMode"}`,
		unit("okta", "TestSwitchBodyOfAnyAppHasFourFields"),
	},
	{
		"the switch of an IdP cuts its document off behind the kid", nothingElse, "internal/okta/document.go",
		`return append(body, d.Raw[old.Index+len(old.Raw):]...), nil`, `return append(body, "}}}}"...), nil`,
		unit("okta", "TestSwitchOfAnyIDPChangesTheKidAndCanBeUndoneByteForByte|TestSwitchBodyOfAnIDPIsItsDocumentWithAnotherKid"),
	},
	{
		"a document may say one thing twice", nothingElse, "internal/okta/targets.go",
		`|| namesTwice(raw)`, `|| false`,
		unit("okta", "FuzzDocument/label-twice"),
	},

	{
		"a CSR is not taken back", noCSRLeft, "internal/steps/revoke_csr.go",
		`err := s.Okta.RevokeCSR(ctx, in.Target, csr.ID)`, `var err error`,
		unit("steps", "TestRevokingTakesBackTheCSRThatIsNamed"),
	},
	{
		"where the certificate is not signed the CSR stays", noCSRLeft, definition,
		lines(`      "Assign": {"result": "Failed"},`, `      "Default": "RevokeCsr"`), lines(`      "Assign": {"result": "Failed", "csr": null},`, `      "Default": "Report"`),
		faults("TestMatrix/^app_before-switch_confirm_local$/^SignCsr$/sign-csr/GetSecretValue#1_denied"),
	},

	{
		"a CSR that is pending is not used again", nextCompletes, "internal/steps/generate_csr.go",
		`if len(ours) > 0 {`, `if false {`,
		unit("steps", "TestPendingCSRThatIsOursIsUsedAgain"),
	},
	{
		"a key that an earlier rotation published is not found", nextCompletes, "internal/steps/inspect_target.go",
		`if key.Created.After(after) && remaining`, `if false && remaining`,
		unit("steps", "TestRotationAfterOneThatGaveUpUsesThePublishedKey"),
	},
	{
		"a publication whose answer was lost is not found", nextCompletes, "internal/steps/publish_csr.go",
		`if !okta.IsNotFound(err) && !okta.IsInvalid(err) {`, `if true {`,
		unit("steps", "TestPublicationWhoseAnswerWasLostIsFoundByThePublicKey"),
	},

	{
		"the end is not announced", somebodyTold, definition,
		lines(`      "Output": {},`, `      "Next": "AnnounceEnd"`), lines(`      "Output": {},`, `      "Next": "Outcome"`),
		faults("TestMatrix/^app_before-switch_reject_local$/^$"),
	},
	{
		"nobody is reminded, and nobody else is asked", somebodyTold, definition,
		`{"Condition": "{% $round < $count($asks) %}", "Assign": {"problem": null}, "Next": "RequestUpload"}`, `{"Condition": "{% false %}", "Next": "RequestUpload"}`,
		faults("TestTheApproverHasLeft/^app_before-switch_confirm_local_with_a_lead$"),
	},

	{
		"an error repeats the token that Okta's answer quotes", noSecrets, "internal/okta/errors.go",
		`text = strings.ReplaceAll(text, secret, hidden)`, `_ = hidden`,
		unit("okta", "FuzzErrorAnswer/token-in-escapes"),
	},
	{
		"an error of Step Functions is passed on with its text", noSecrets, "internal/approval/paused/answer.go",
		`"Step Functions did not take the decision (%s)", code)`, `"Step Functions did not take the decision (%s)", err)`,
		unit("approval/paused", "TestAnotherFailureOfStepFunctionsMayPassAndNeverShowsTheToken"),
	},
	{
		"an input's time is repeated in the error", noSecrets, "internal/lambdastep/lambdastep.go",
		`if errors.As(err, &badTime) {`, `if errors.As(err, &badTime) && false {`,
		unit("lambdastep", "FuzzInput"),
	},
	{
		"a drift shows what was in a secret's field", noSecrets, "internal/okta/document.go",
		`if m[name] = masked(child); soundsSecret(name) {`, `if m[name] = masked(child); false {`,
		unit("okta", "TestDifferencesHideSecretsAtAnyDepth"),
	},

	{
		"the switch reads the target once more", budgets, "internal/steps/update_key_credential.go",
		`digest, err := before.Digest()`, lines(`if before, err = s.Okta.Document(ctx, in.Target); err != nil {`, `		return none, err`, `	}`, `	digest, err := before.Digest()`),
		unit("steps", "TestSwitchReadsUpdatesAndReadsAgain"),
	},
	{
		"every inspection asks who shares the key", budgets, "internal/steps/inspect_target.go",
		`if err == nil && !active.Created.Before(created.Add(-time.Minute)) {`, `if err == nil && created.IsZero() {`,
		unit("steps", "TestRotationChangesTheKeyAndNothingElse"),
	},

	{
		"before-switch: the switch comes first", noSwitchBefore, definition,
		lines(`      "Choices": [{"Condition": "{% $policy.uploadOrder = 'after-switch' %}", "Next": "UpdateKeyCredential"}],`, `      "Default": "RequestUpload"`),
		lines(`      "Choices": [{"Condition": "{% $policy.uploadOrder = 'after-switch' %}", "Next": "UpdateKeyCredential"}],`, `      "Default": "UpdateKeyCredential"`),
		faults("TestMatrix/^app_before-switch_confirm_local$/^$"),
	},
	{
		"silence counts as a confirmation", noSwitchBefore, definition,
		lines(`"Assign": {"problem": null}, "Next": "RequestUpload"}],`, `      "Default": "NotConfirmed"`), lines(`"Assign": {"problem": null}, "Next": "RequestUpload"}],`, `      "Default": "UpdateKeyCredential"`),
		faults("TestTheApproverHasLeft/^app_before-switch_confirm_local$"),
	},
	{
		"opening a link by HEAD decides", noSwitchBefore, "internal/approval/page/page.go",
		lines(`	case r.Method == http.MethodPost:`, `		v.answer(r.Context())`),
		lines(`	case r.Method == http.MethodHead:`, `		v.decide(r.Context(), *v.asked(), v.form(*v.asked()), rotation.Decision{Confirmed: true, By: claim.Approver, At: now})`, `	case r.Method == http.MethodPost:`, `		v.answer(r.Context())`),
		unit("approval/page", "TestOpeningALinkNeverDecides"),
	},

	{
		"a form without the page's token decides", singleUse, "internal/approval/page/page.go",
		`current := v.sealer.CheckForm(fields.Get(fieldForm), v.link, in.TaskToken, v.now)`, `current := true`,
		unit("approval/page", "TestAPostWithoutThePagesFormNeverDecides"),
	},
	{
		"a form from another website decides", singleUse, "internal/approval/page/page.go",
		`if err := v.page.foreign.Check(withoutNullOrigin(v.r)); err != nil {`, `if err := v.page.foreign.Check(withoutNullOrigin(v.r)); err != nil && false {`,
		unit("approval/page", "TestAPostFromElsewhereNeverDecides"),
	},
	{
		"an earlier message's link decides", singleUse, "internal/approval/page/page.go",
		`case in.TaskToken == v.claim.TaskToken:`, `case true:`,
		unit("approval/page", "TestEveryOtherStateHasItsPage"),
	},
	{
		"a link works for ever", singleUse, "internal/approval/link.go",
		`if !now.Before(c.Expires) {`, `if false {`,
		unit("approval", "TestALinkWorksUntilItsExpiry"),
	},
	{
		"the second answer is said to count", singleUse, "internal/approval/paused/answer.go",
		`		return ErrAnswered`, `		return nil`,
		unit("approval/paused", "TestARequestIsAnsweredOnce"),
	},

	{
		"an edit since the inspection is passed over", comparison, "internal/steps/update_key_credential.go",
		`if !in.Back && (digest != in.Digest || in.UpdatedSince(before.Field("lastUpdated"))) {`, `if false {`,
		unit("steps", "TestTargetEditedSinceItsInspectionIsNotTouched"),
	},
	{
		"a switch that was interrupted is not compared", comparison, "internal/steps/update_key_credential.go",
		`		return none, s.putKidBack(ctx, in, before)`, `		return rotation.UpdateKeyCredentialOutput{ActiveKid: in.ToKid, Already: true}, nil`,
		unit("steps", "TestDriftFoundOnlyAfterACrashBringsTheOldKidBack"),
	},
	{
		"the digest leaves out what an admin may edit", comparison, "internal/okta/document.go",
		`	delete(tree, "_embedded")`, lines(`	delete(tree, "_embedded")`, `	delete(tree, "settings")`),
		unit("steps", "TestInspectionDigestDependsOnEverythingButTheKidAndLastUpdated"),
	},
	{
		"somebody else's switch is switched over", comparison, "internal/steps/update_key_credential.go",
		lines(`	default:`, `		return none, rotation.Errorf("Target.Changed"`), lines(`	case "":`, `		return none, rotation.Errorf("Target.Changed"`),
		unit("steps", "TestTargetThatSomebodyElseSwitchedIsNotTouched"),
	},

	{
		"a certificate for another key passes", anotherKey, "internal/ca/check.go",
		`	case !sameKeys:`, `	case false:`,
		unit("ca", "TestCheckRefusesWhatIsWrongInOneWay"),
	},
	{
		"a certificate of a CA that is not configured passes", anotherKey, "internal/ca/check.go",
		`	if !issued {`, `	if !issued && false {`,
		unit("ca", "TestCheckRefusesWhatIsWrongInOneWay"),
	},
	{
		"a certificate with another subject passes", anotherKey, "internal/ca/check.go",
		`	case !sameName(c.Leaf.RawSubject, csr.RawSubject):`, `	case false:`,
		unit("ca", "TestCheckRefusesWhatIsWrongInOneWay"),
	},
	{
		"what a person brings is not checked", anotherKey, "internal/approval/page/certificate.go",
		`	if err := ca.Check(certificate, request, authority); err != nil {`, `	if err := ca.Check(certificate, request, authority); err != nil && false {`,
		unit("approval/page", "Certificate"),
	},
	{
		"what the CA answers is not checked", anotherKey, "internal/steps/sign_csr.go",
		`	if err := ca.Check(signed, request, authority); err != nil {`, `	if err := ca.Check(signed, request, authority); err != nil && false {`,
		unit("steps", "TestSigningChecksWhatTheCAAnswers"),
	},
	{
		"Okta's key is not compared with the certificate", anotherKey, "internal/steps/publish_csr.go",
		`if !samePublicKey(got, cert) {`, `if !samePublicKey(got, cert) && false {`,
		unit("steps", "TestKeyWithAnotherPublicKeyThanTheCertificateIsRefused"),
	},

	{
		"a certificate with exactly 90 days left passes", ninetyDays, "internal/ca/check.go",
		`left <= MinValidity {`, `left < MinValidity {`,
		unit("ca", "TestCheckRefusesWhatIsWrongInOneWay"),
	},
	{
		"the policy may ask for 90 days", ninetyDays, "internal/rotation/policy.go",
		`s.ValidityDays, MinRemainingDays+1, 3650`, `s.ValidityDays, MinRemainingDays, 3650`,
		unit("rotation", "Policy"),
	},
	{
		"a key with 90 days left is switched to", ninetyDays, "internal/steps/inspect_target.go",
		`remaining(key, s.Now()) > rotation.MinRemainingDays*rotation.Day`, `remaining(key, s.Now()) >= rotation.MinRemainingDays*rotation.Day`,
		unit("steps", "TestUnusedKeysCameAfterTheActiveOneAndAreGoodForMoreThan90Days"),
	},

	{
		"a list's next page may be at another host", outsideInput, "internal/okta/targets.go",
		`u.Scheme != c.base.Scheme || u.Host != c.base.Host || u.User != nil`, `u.User != nil`,
		unit("okta", "TestNextPageElsewhereIsRefusedAndGetsNoCredential"),
	},
	{
		"a title may name the next page", outsideInput, "internal/okta/targets.go",
		`		case s[i] == '"':`, `		case false:`,
		unit("okta", "FuzzPage"),
	},
	{
		"a misspelt field of the policy is passed over", outsideInput, "internal/rotation/policy_read.go",
		lines(`			last := len(known) - 1`, `			r.refuse(`), lines(`			last := len(known) - 1`, `			_ = fmt.Sprint(`),
		unit("rotation", "Policy"),
	},
	{
		"a link of any key opens", outsideInput, "internal/approval/link.go",
		lines(`		if err != nil {`, `			continue`, `		}`, `		c, ok := parseClaim(plain)`), lines(`		if err != nil {`, `			return Claim{Target: rotation.Target{ID: "x"}, Expires: now.Add(1)}, nil`, `		}`, `		c, ok := parseClaim(plain)`),
		unit("approval", "TestALinkWithAnyBitFlippedIsDamaged"),
	},

	{
		"the page's function may answer every state machine", rights, "template.yaml",
		lines(`                  - states:SendTaskFailure`, `                Resource: !Sub arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${AWS::StackName}-rotation`),
		lines(`                  - states:SendTaskFailure`, `                Resource: !Sub arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*`),
		stack("TestEveryFunctionHasARoleOfItsOwnThatNamesWhatItMayDo"),
	},
	{
		"the page's function may not see how the rotation stands", rights, "template.yaml",
		lines(`                Action: states:GetExecutionHistory`, `                Resource: !Sub arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${AWS::StackName}-rotation:*`, `              - Sid: HaveTheMetadataRead`),
		lines(`                Action: states:DescribeExecution`, `                Resource: !Sub arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${AWS::StackName}-rotation:*`, `              - Sid: HaveTheMetadataRead`),
		stack("TestALinkIsAnsweredOnce"),
	},
}
