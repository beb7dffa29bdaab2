package localaws

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// loopback never asks a proxy or a name server.
var loopback = &http.Client{Transport: loopbackTransport()}

func loopbackTransport() *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if host == "localhost" || strings.HasSuffix(host, ".localhost") {
				host = "127.0.0.1"
			}
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				return nil, fmt.Errorf("%s is not on the loopback interface", host)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		},
	}
}

// FunctionURLClient is for requests to LocalFunctionURL: it takes every name
// below .localhost for 127.0.0.1, which not every system does, and keeps the
// name in the Host header, by which MiniStack finds the function. It follows
// no redirects, and reaches nothing beyond the loopback interface.
func (c *Cloud) FunctionURLClient() *http.Client {
	return &http.Client{
		Transport:     loopback.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// LocalFunctionURL is where a Function URL answers on this machine: from
// https://{id}.lambda-url.{region}.on.aws/path?query, which CloudFormation
// returns, to http://{id}.lambda-url.{region}.localhost:{port}/path?query.
func (c *Cloud) LocalFunctionURL(functionURL string) (string, error) {
	u, err := url.Parse(functionURL)
	if err != nil {
		return "", err
	}
	name, isFunction := strings.CutSuffix(u.Hostname(), ".on.aws")
	if !isFunction || !strings.Contains(name, ".lambda-url.") {
		return "", fmt.Errorf("%s is not a Function URL", functionURL)
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return "", err
	}
	u.Scheme, u.Host = "http", name+".localhost:"+endpoint.Port()
	return u.String(), nil
}

// publicServer stands before one Function URL, as a custom domain does on AWS:
// the function's own address is known after the deployment only, this one before.
type publicServer struct {
	url    string
	target atomic.Pointer[url.URL]
	server http.Server
}

func (p *publicServer) start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.url = "http://" + listener.Addr().String() + "/"
	proxy := &httputil.ReverseProxy{
		Transport: loopback.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(p.target.Load())
			r.SetXForwarded()
		},
	}
	p.server.ReadHeaderTimeout = 10 * time.Second
	p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.target.Load() == nil {
			http.Error(w, "nothing is published here yet", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	go func() { _ = p.server.Serve(listener) }() // until close
	return nil
}

func (p *publicServer) close() { _ = p.server.Close() }

// PublicURL is an address on this machine that Publish gives a function behind
// it, such as "http://127.0.0.1:40123/". A browser can open it everywhere.
func (c *Cloud) PublicURL() string { return c.public.url }

// Publish has PublicURL answered by the function with the given Function URL.
func (c *Cloud) Publish(functionURL string) error {
	local, err := c.LocalFunctionURL(functionURL)
	if err != nil {
		return err
	}
	target, err := url.Parse(local)
	if err != nil {
		return err
	}
	c.public.target.Store(target)
	return nil
}
