// Command dev keeps a whole Keyturn up on this machine, to click through with
// a browser: the deployed stack on a local AWS, a simulated Okta org, and a
// page that starts rotations and shows the mails.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keyturn/internal/playground"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx)
}

func run(ctx context.Context) (err error) {
	start, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	p, err := playground.Start(start, playground.Options{Progress: func(what string) { fmt.Println("  starting ", what) }})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	desk := "http://" + listener.Addr().String()
	server := &http.Server{Handler: newDesk(p, desk), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { err = errors.Join(err, server.Close()) }()

	fmt.Printf(`
Keyturn runs on this machine. Ctrl-C ends it and leaves nothing behind.

  Desk (start rotations, read the mails)  %s/
  Okta's console (simulated)              %s/
  Local AWS                               %s

Start a rotation on the desk, or with

  curl -d kind=app -d id=%s -d way=before-switch %s/start

then open the link in the mail that the desk shows. Look for what is due with

  curl -d way=dry-run %s/discover

With the AWS CLI:

  export AWS_ENDPOINT_URL=%s AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  aws stepfunctions start-execution --state-machine-arn %s \
    --input '{"target": {"kind": "app", "id": "%s"}}'

`, desk, p.OrgURL, p.Cloud.Endpoint, p.Targets.BeforeSwitchApp, desk, desk, p.Cloud.Endpoint, p.Outputs["RotationStateMachineArn"], p.Targets.BeforeSwitchApp)
	<-ctx.Done()
	fmt.Println("stopping")
	return nil
}
