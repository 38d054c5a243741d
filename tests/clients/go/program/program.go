// Package program holds what the Go client programs share: arguments, JSON lines, records.
// ../../README.md has the contract.
package program

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// Arguments of all commands; each command uses some.
type Arguments struct {
	Bootstrap  string
	Topic      string
	Group      string
	Codec      string
	Partitions int32
	Count      int
}

// Hex is a byte string that is null in JSON when nil, and hex otherwise.
type Hex []byte

// MarshalJSON writes null or a hex string.
func (h Hex) MarshalJSON() ([]byte, error) {
	if h == nil {
		return []byte("null"), nil
	}
	return json.Marshal(hex.EncodeToString(h))
}

// UnmarshalJSON reads null or a hex string.
func (h *Hex) UnmarshalJSON(text []byte) error {
	var digits *string
	if err := json.Unmarshal(text, &digits); err != nil || digits == nil {
		return err
	}
	decoded, err := hex.DecodeString(*digits)
	*h = append(make(Hex, 0, len(decoded)), decoded...)
	return err
}

// Header is a name and a value, written as a list of two.
type Header struct {
	Name  string
	Value Hex
}

// MarshalJSON writes a list of two.
func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Name, h.Value}) }

// UnmarshalJSON reads a list of two.
func (h *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.Name, &h.Value})
}

// Record is a record to produce, and the body of a "record" event.
type Record struct {
	Event     string   `json:"event,omitempty"`
	Partition *int32   `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp *int64   `json:"timestamp"`
	Key       Hex      `json:"key"`
	Value     Hex      `json:"value"`
	Headers   []Header `json:"headers"`
}

var output sync.Mutex

// Emit prints one event.
func Emit(event string, values map[string]any) {
	if values == nil {
		values = map[string]any{}
	}
	values["event"] = event
	print(values)
}

// EmitRecord prints a "record" event.
func EmitRecord(partition int32, offset, timestamp int64, key, value []byte, headers []Header) {
	if headers == nil {
		headers = []Header{}
	}
	print(Record{"record", &partition, offset, &timestamp, key, value, headers})
}

func print(value any) {
	text, err := json.Marshal(value)
	Check(err)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

// Check ends the program with an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Lines decodes each line of standard input and hands it on, until the end of input or a false.
func Lines[T any](handle func(T) bool) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var message T
		Check(json.Unmarshal(lines.Bytes(), &message))
		if !handle(message) {
			return
		}
	}
	Check(lines.Err())
}

// Commands hands on each command of standard input until "stop" or the end of input.
func Commands(handle func(command string)) {
	Lines(func(message struct{ Command string }) bool {
		if message.Command == "stop" {
			return false
		}
		handle(message.Command)
		return true
	})
}

// Main runs the command that the first argument names with the values of the second.
func Main(commands map[string]func(Arguments)) {
	var arguments Arguments
	Check(json.Unmarshal([]byte(os.Args[2]), &arguments))
	commands[os.Args[1]](arguments)
}
