// Uses the client that oapi-codegen has generated, and prints the results: go run . URL
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func pointer[T any](value T) *T { return &value }

func main() {
	ctx := context.Background()
	url := os.Args[1]
	anyone := must(NewClientWithResponses(url))

	user := must(anyone.RegisterWithResponse(ctx, NewUser{Email: "ada@example.com", Password: "correct-horse-battery", Name: "Ada"})).JSON201
	first := must(anyone.LoginWithResponse(ctx, Credentials{Email: "ada@example.com", Password: "correct-horse-battery"})).JSON200
	tokens := must(anyone.RefreshWithResponse(ctx, RefreshToken{RefreshToken: first.RefreshToken})).JSON200
	ada := must(NewClientWithResponses(url, WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
		return nil
	})))
	me := must(ada.GetMeWithResponse(ctx, nil)).JSON200

	must(ada.PutCollectionWithResponse(ctx, "trips", nil, CollectionInput{Visibility: CollectionInputVisibilityPublic}))
	stops := []any{"Hamar", nil, map[string]any{"at": 1.5}}
	made := must(ada.CreateRecordWithResponse(ctx, "trips", nil, RecordInput{Data: RecordData{"to": "Oslo", "km": 405, "stops": stops}})).JSON201
	change := RecordPatch{Data: &RecordData{"km": 406, "stops": nil}}
	patch := func(tag string) *PatchRecordResponse {
		return must(ada.PatchRecordWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, "trips", made.Id, &PatchRecordParams{IfMatch: tag}, change))
	}
	stale := patch(`"0-0"`)
	tag := must(ada.GetRecordWithResponse(ctx, "trips", made.Id, nil)).Headers200.ETag
	patched := patch(*tag).JSON200

	lines := strings.Join([]string{`{"data":{"to":"Rome"}}`, `{"data":"oops"}`, `{"data":{"to":"Bergen"}}`, `{"data":{"to":"Turin"}}`}, "\n")
	bulk := must(ada.CreateRecordsWithBodyWithResponse(ctx, "trips", nil, "application/x-ndjson", strings.NewReader(lines))).JSON200
	bad := []int{}
	for _, one := range bulk.Errors {
		bad = append(bad, one.Line)
	}

	pages, listed := 0, []any{}
	params := ListRecordsParams{Limit: pointer(2), Order: pointer(ListRecordsParamsOrderAsc)}
	for pages == 0 || params.Cursor != nil {
		page := must(ada.ListRecordsWithResponse(ctx, "trips", &params)).JSON200
		for _, item := range page.Items {
			listed = append(listed, item.Data["to"])
		}
		params.Cursor = page.NextCursor
		pages++
	}
	exported := []any{}
	export := must(ada.ExportRecordsWithResponse(ctx, "trips", &ExportRecordsParams{Order: pointer(ExportRecordsParamsOrderAsc)}))
	for scanner := bufio.NewScanner(bytes.NewReader(export.Body)); scanner.Scan(); {
		var record DataRecord
		if err := json.Unmarshal(scanner.Bytes(), &record); err != nil {
			panic(err)
		}
		exported = append(exported, record.Data["to"])
	}
	refused := must(ada.GetRecordWithResponse(ctx, "nowhere", made.Id, nil)).ApplicationproblemJSON404

	err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"registered": user.Email,
		"signedInAs": me.Email,
		"refreshed":  tokens.RefreshToken != first.RefreshToken,
		"created":    made.Data,
		"stale":      stale.StatusCode(),
		"patched":    patched.Data,
		"bulk":       map[string]any{"inserted": bulk.Inserted, "failed": bulk.Failed, "lines": bad},
		"pages":      pages,
		"listed":     listed,
		"exported":   exported,
		"refused":    refused.Type,
	})
	if err != nil {
		panic(err)
	}
}
