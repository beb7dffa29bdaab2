// Command oktasim serves a simulated Okta org on loopback, to try Keyturn or
// any other client by hand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keyturn/internal/oktasim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv("OKTASIM_TOKEN"), os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintf(os.Stderr, "oktasim: error: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. A token that was given is not printed.
func run(ctx context.Context, args []string, token string, out io.Writer) error {
	flags := flag.NewFlagSet("oktasim", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a free one")
	empty := flags.Bool("empty", false, "start without the demo's apps and identity providers")
	large := flags.Int("large", 0, "add so `many` apps, and an identity provider for each hundred")
	free := flags.Bool("free-limits", false, "rate limits of a free Integrator org instead of a Workforce org")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the address goes into -listen", flags.Arg(0))
	}
	if *large < 0 {
		return fmt.Errorf("-large %d: give a number of apps", *large)
	}
	listener, err := listenLoopback(ctx, *listen)
	if err != nil {
		return err
	}

	options := oktasim.Options{APIToken: token}
	if *free {
		options.Limits = oktasim.IntegratorFree()
	}
	org := oktasim.New(options)
	if !*empty {
		org.SeedDemo()
	}
	org.SeedLarge(oktasim.LargeSpec{Apps: *large, IDPs: *large / 100})
	url := "http://" + listener.Addr().String()
	greeting := fmt.Sprintf("Simulated Okta org: %s\nAPI token:          the value of OKTASIM_TOKEN\n", url)
	if token == "" {
		greeting = fmt.Sprintf("Simulated Okta org: %s\nAPI token:          %s\nTry:                curl -H 'Authorization: SSWS %[2]s' %[1]s/api/v1/apps\n",
			url, org.APIToken())
	}
	if _, err := io.WriteString(out, greeting); err != nil {
		return fmt.Errorf("print the URL: %w", err)
	}

	server := &http.Server{Handler: org, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", url, err)
	case <-ctx.Done():
	}
	org.ReleaseSlow()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// listenLoopback refuses addresses that other machines can reach: the console
// and the controls ask for no token.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w; give host:port, such as 127.0.0.1:8080", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-listen %q: not a loopback address; use 127.0.0.1, ::1 or localhost", address)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		_ = listener.Close()
		return nil, fmt.Errorf("-listen %q: resolved to %s, which is not loopback; use 127.0.0.1", address, listener.Addr())
	}
	return listener, nil
}
