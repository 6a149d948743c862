package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// forgetInitial blanks the values of variables in the block of memory that the kernel shows as
// /proc/PID/environ, which unsetting a variable does not touch. (To make the whole process
// undumpable would hide its memory as well, but then an ordinary user's runners could not be
// given the user namespaces that their sandboxes need.)
func forgetInitial(taken keys) error {
	start, err := environStart()
	if err != nil {
		return err
	}
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return err
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	at := start
	for entry := range bytes.SplitAfterSeq(block, []byte{0}) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(entry, []byte{0}), []byte("="))
		if _, ok := taken[string(name)]; ok {
			if _, err := memory.WriteAt(make([]byte, len(value)), at+int64(len(name)+1)); err != nil {
				return err
			}
		}
		at += int64(len(entry))
	}
	return nil
}

// environStart is the address of the block: field 50 of /proc/PID/stat, see proc_pid_stat(5).
func environStart() (int64, error) {
	const field, afterName = 50, 3 // the first field after the program's name, which may hold spaces
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= field-afterName {
		return 0, errors.New("/proc/self/stat has an unexpected form")
	}
	start, err := strconv.ParseInt(string(fields[field-afterName]), 10, 64)
	if err == nil && start == 0 {
		err = errors.New("the kernel does not say where the environment lies")
	}
	return start, err
}
