package main

func draw([]*lane) []byte { return nil }
