// What an app does on its first day, with types that come from the OpenAPI document: node smoke.js http://127.0.0.1:8080
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Goal = components["schemas"]["Goal"];

const baseUrl = process.argv[2];
if (!baseUrl) throw new Error("usage: node smoke.js <address>");

const client = createClient<paths>({ baseUrl });

function must<T>(what: string, got: { data?: T; error?: unknown; response: Response }): T {
    if (got.data === undefined) throw new Error(`${what}: ${got.response.status} ${JSON.stringify(got.error)}`);
    return got.data;
}

const signup = must("sign up", await client.POST("/api/v1/auth/signup", {
    body: { email: `client${Date.now()}@example.com`, password: "correct horse 7", name: "Ada", timezone: "Europe/Berlin" },
}));
client.use({
    onRequest({ request }) {
        request.headers.set("Authorization", `Bearer ${signup.access_token}`);
        return request;
    },
});

const goal: Goal = must("create a goal", await client.POST("/api/v1/goals", {
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
    body: { title: "Run", frequency: 3 },
}));

const checkin = must("check in", await client.POST("/api/v1/goals/{id}/checkins", {
    params: { path: { id: goal.id } },
    body: { status: "done", mood: 5 },
}));
if (checkin.goal_id !== goal.id) throw new Error("a check-in of another goal");

const message = must("ask for a message", await client.POST("/api/v1/motivation/generate", { body: { goal_id: goal.id, tone: "calm" } }));
console.log(`${message.source}: ${message.text}`);

const list = must("list goals", await client.GET("/api/v1/goals", { params: { query: { is_active: true, limit: 10 } } }));
if (list.goals.length !== 1 || list.pagination.total !== 1) throw new Error("not one goal");

const renamed = must("rename it", await client.PATCH("/api/v1/goals/{id}", {
    params: { path: { id: goal.id }, header: { "If-Match": `"${goal.version}"` } },
    body: { title: "Run further" },
}));
if (renamed.version !== goal.version + 1) throw new Error("no new version");

const late = await client.PATCH("/api/v1/goals/{id}", {
    params: { path: { id: goal.id }, header: { "If-Match": `"${goal.version}"` } },
    body: { title: "Run away" },
});
if (late.response.status !== 412 || late.error?.error.code !== "PRECONDITION_FAILED") throw new Error("the second writer won");

const refused = await client.POST("/api/v1/goals", { body: { title: "", frequency: 3 } });
if (refused.error?.error.details.field !== "title") throw new Error(`an empty title: ${JSON.stringify(refused.error)}`);

const stats = must("statistics", await client.GET("/api/v1/goals/{id}/stats", { params: { path: { id: goal.id } } }));
if (stats.done !== 1) throw new Error("not one check-in");

must("sign out", await client.POST("/api/v1/auth/logout", { body: {} }).then((got) => ({ ...got, data: got.response.ok ? true : undefined })));
const out = await client.GET("/api/v1/goals");
if (out.response.status !== 401) throw new Error("still signed in");

console.log("ok");
