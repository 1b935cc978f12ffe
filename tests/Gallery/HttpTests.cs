using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>What the gallery answers.</summary>
[NonParallelizable]
public class HttpTests
{
    private Served served = null!;

    [OneTimeSetUp]
    public async Task Start() => served = await Served.StartAsync();

    [OneTimeTearDown]
    public async Task Stop() => await served.DisposeAsync();

    private Task<JsonElement> Get(string address) => served.Http.GetFromJsonAsync<JsonElement>(address);

    [Test]
    public async Task ModelsAreListedAndDescribed()
    {
        var cards = (await Get("/api/models")).EnumerateArray().ToArray();
        Assert.That(
            cards.Select(card => card.GetProperty("name").GetString()),
            Is.EqualTo(new[] { "moons", "squares" })
        );
        Assert.That(cards[0].GetProperty("settings").GetProperty("dataSet").GetString(), Is.EqualTo("moons"));
        Assert.That(cards, Has.All.Matches<JsonElement>(card => card.GetProperty("isReady").GetBoolean()));

        var squares = await Get("/api/models/squares");
        Assert.That(squares.GetProperty("kind").GetString(), Is.EqualTo("images"));
        Assert.That(
            squares.GetProperty("shape").EnumerateArray().Select(side => side.GetInt32()),
            Is.EqualTo(new[] { 1, 8, 8 })
        );
        Assert.That(squares.GetProperty("isConditional").GetBoolean());
        Assert.That(squares.GetProperty("classes").GetArrayLength(), Is.EqualTo(2));

        var parts = await Get("/api/parts");
        Assert.That(
            parts.GetProperty("solvers").EnumerateArray().Select(solver => solver.GetProperty("name").GetString()),
            Does.Contain("heun").And.Contain("ancestral")
        );
    }

    [TestCase("moons", "count=50&seed=3")]
    [TestCase("moons", "count=7&seed=1&solver=ancestral&steps=6&grid=karras")]
    [TestCase("squares", "count=3&seed=2&solver=euler&steps=4&class=1&guidance=2")]
    public async Task SamplesAreTheCommandLinesByteForByte(string model, string query)
    {
        var answer = await Get($"/api/models/{model}/samples.json?{query}");
        var file = await served.Http.GetByteArrayAsync($"/api/models/{model}/samples.npy?{query}");
        Assert.That(file, Is.EqualTo(served.CommandLine(answer.GetProperty("command").GetString()!)));

        var picture = await served.Http.GetAsync($"/api/models/{model}/samples.png?{query}");
        Assert.That(picture.Content.Headers.ContentType!.MediaType, Is.EqualTo("image/png"));
        Assert.That(
            (await picture.Content.ReadAsByteArrayAsync())[..4],
            Is.EqualTo(new byte[] { 0x89, 0x50, 0x4e, 0x47 })
        );
    }

    [Test]
    public async Task AStreamEndsAtTheSamplesAndTwoSolversBeginAtOneNoise()
    {
        async Task<(string Name, JsonElement Data)[]> Stream(string query)
        {
            using var answer = await served.Http.GetAsync($"/api/models/moons/stream?{query}");
            Assert.That(answer.Content.Headers.ContentType!.MediaType, Is.EqualTo("text/event-stream"));
            return [.. Served.Events(await answer.Content.ReadAsStringAsync())];
        }

        const string query = "count=20&seed=5&steps=4";
        var heun = await Stream(query + "&solver=heun");
        var euler = await Stream(query + "&solver=euler");
        Assert.That(
            heun.Select(e => e.Name),
            Is.EqualTo(new[] { "start", "state", "state", "state", "state", "state", "end" })
        );
        Assert.That(heun[^1].Data.GetProperty("outcome").GetString(), Is.EqualTo("done"));
        Assert.That(
            heun[0].Data.GetProperty("shape").EnumerateArray().Select(n => n.GetInt32()),
            Is.EqualTo(new[] { 20, 2 })
        );

        Assert.That(Served.Numbers(euler[1].Data), Is.EqualTo(Served.Numbers(heun[1].Data)));
        Assert.That(Served.Numbers(euler[^2].Data), Is.Not.EqualTo(Served.Numbers(heun[^2].Data)));

        var whole = await Get($"/api/models/moons/samples.json?{query}&solver=heun");
        var values = whole
            .GetProperty("values")
            .EnumerateArray()
            .SelectMany(row => row.EnumerateArray().Select(x => x.GetSingle()));
        Assert.That(Served.Numbers(heun[^2].Data), Is.EqualTo(values));
        Assert.That(
            heun[0].Data.GetProperty("command").GetString(),
            Is.EqualTo(whole.GetProperty("command").GetString())
        );
    }

    [Test]
    public async Task WhatIsKnownOfAnImageStaysAndTheRestIsMade()
    {
        var values = Enumerable.Range(0, 64).Select(i => i % 8 < 4 ? 200.0 : 0.0).ToArray();
        var known = Enumerable.Range(0, 64).Select(i => i % 8 < 4).ToArray();
        var body = new
        {
            values,
            known,
            asked = new
            {
                count = 2,
                seed = 1,
                steps = 3,
                @class = "0",
            },
        };
        using var answer = await served.Http.PostAsJsonAsync("/api/models/squares/inpaint", body);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK), await answer.Content.ReadAsStringAsync());
        var restored = await answer.Content.ReadFromJsonAsync<JsonElement>();

        await using var model = await FlowModel.LoadAsync(Path.Combine(served.Folder, "squares"));
        var same = await model.InpaintAsync(
            SampleBatch.FromArray(values, [1, 1, 8, 8]),
            known,
            new SampleOptions
            {
                Count = 2,
                Seed = 1,
                Steps = 3,
                Label = 0,
            }
        );
        var numbers = restored
            .GetProperty("values")
            .EnumerateArray()
            .SelectMany(row => row.EnumerateArray().Select(x => x.GetDouble()));
        Assert.That(numbers, Is.EqualTo(same.ToDoubleArray()));

        // The command and the two files that the page gives with it.
        var mask = Enumerable.Range(0, 8).Select(_ => new[] { 1, 1, 1, 1, 0, 0, 0, 0 });
        var (maskFile, seenFile) = (Path.Combine(served.Folder, "mask.json"), Path.Combine(served.Folder, "seen.npy"));
        await File.WriteAllTextAsync(maskFile, JsonSerializer.Serialize(new { mask = new[] { mask }, noise = 0 }));
        SampleBatch.FromArray(values, [1, 1, 8, 8]).SaveNpy(seenFile);
        var command = restored
            .GetProperty("command")
            .GetString()!
            .Replace("mask.json", maskFile)
            .Replace("seen.npy", seenFile);
        var drawn = Path.Combine(served.Folder, "same.npy");
        same.SaveNpy(drawn);
        Assert.That(served.CommandLine(command), Is.EqualTo(await File.ReadAllBytesAsync(drawn)));

        using var live = await served.Http.PostAsJsonAsync("/api/models/squares/inpaint/stream", body);
        var events = Served.Events(await live.Content.ReadAsStringAsync()).ToArray();
        Assert.That(events[^1].Data.GetProperty("outcome").GetString(), Is.EqualTo("done"));
        var pixels = events[^2].Data.GetProperty("x").GetBytesFromBase64();
        Assert.That(pixels, Is.EqualTo(same.ToDoubleArray().Select(x => (byte)Math.Clamp(Math.Round(x), 0, 255))));
    }

    [Test]
    public async Task AWayBetweenTwoSamplesBeginsAndEndsAtThem()
    {
        double[] from = [-1, 0.5];
        double[] to = [1.5, 0];
        using var answer = await served.Http.PostAsJsonAsync(
            "/api/models/moons/interpolate",
            new
            {
                from,
                to,
                frames = 5,
            }
        );
        var places = (await answer.Content.ReadFromJsonAsync<JsonElement>())
            .GetProperty("places")
            .EnumerateArray()
            .ToArray();
        Assert.That(
            places.Select(place => place.GetProperty("fraction").GetDouble()),
            Is.EqualTo(new[] { 0, 0.25, 0.5, 0.75, 1 })
        );

        // There and back along the flow: to the solver's error with its usual steps.
        double[] Values(int k) => [.. places[k].GetProperty("values").EnumerateArray().Select(x => x.GetDouble())];
        Assert.That(Values(0), Is.EqualTo(from).Within(0.01));
        Assert.That(Values(4), Is.EqualTo(to).Within(0.01));
    }

    // A file as the page makes it, float64 in C's order.
    private string Written(string name, double[] values, params int[] shape)
    {
        var header = $"{{'descr': '<f8', 'fortran_order': False, 'shape': ({string.Join(", ", shape)},), }}";
        header = header.PadRight((header.Length + 11 + 63) / 64 * 64 - 11) + "\n";
        var file = Path.Combine(served.Folder, name);
        using var writer = new BinaryWriter(File.Create(file));
        writer.Write([0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. Encoding.ASCII.GetBytes(header)]);
        writer.Write(MemoryMarshal.AsBytes<double>(values));
        return file;
    }

    // The numbers that a command writes as float64, after the file's header.
    private double[] Repeated(JsonElement answer, string verb, string given, string file)
    {
        var command = answer.GetProperty("command").GetString()!.Replace(given, file);
        var bytes = served.CommandLine(command, verb);
        return MemoryMarshal.Cast<byte, double>(bytes.AsSpan(10 + BitConverter.ToUInt16(bytes, 8))).ToArray();
    }

    [TestCase("moons", null)]
    [TestCase("squares", "1")]
    public async Task TheCommandOfAWayGoesTheSameOne(string name, string? toClass)
    {
        var drawn = await served.Http.GetFromJsonAsync<JsonElement>($"/api/models/{name}/samples.json?count=2&steps=2");
        double[] Sample(int k) => [.. drawn.GetProperty("values")[k].EnumerateArray().Select(x => x.GetDouble())];
        using var answer = await served.Http.PostAsJsonAsync(
            $"/api/models/{name}/interpolate",
            new
            {
                from = Sample(0),
                to = Sample(1),
                fromClass = toClass is null ? null : "0",
                toClass,
                frames = 4,
                solver = "midpoint",
                steps = 3,
            }
        );
        var found = await answer.Content.ReadFromJsonAsync<JsonElement>();
        int[] shape = [2, .. found.GetProperty("shape").EnumerateArray().Select(side => side.GetInt32())];
        var ends = Written("the-ends.npy", [.. Sample(0), .. Sample(1)], shape);
        var places = found.GetProperty("places").EnumerateArray();
        Assert.That(
            Repeated(found, "interpolate", "ends.npy", ends),
            Is.EqualTo(
                places.SelectMany(place => place.GetProperty("values").EnumerateArray().Select(x => x.GetDouble()))
            )
        );
    }

    [TestCase("moons", null, 0)]
    [TestCase("squares", "1", 3)]
    public async Task TheCommandOfADensityFindsTheSame(string name, string? label, long seed)
    {
        var drawn = await served.Http.GetFromJsonAsync<JsonElement>($"/api/models/{name}/samples.json?count=1&steps=2");
        double[] sample = [.. drawn.GetProperty("values")[0].EnumerateArray().Select(x => x.GetDouble())];
        using var answer = await served.Http.PostAsJsonAsync(
            $"/api/models/{name}/likelihood",
            new
            {
                values = sample,
                @class = label,
                seed,
            }
        );
        var found = await answer.Content.ReadFromJsonAsync<JsonElement>();
        int[] shape = [.. drawn.GetProperty("shape").EnumerateArray().Select(side => side.GetInt32())];
        var file = Written("the-sample.npy", sample, shape);
        Assert.That(
            Repeated(found, "likelihood", "sample.npy", file),
            Is.EqualTo(new[] { found.GetProperty("nats").GetDouble() })
        );
    }

    [Test]
    public async Task ADensityIsTheFacades()
    {
        using var answer = await served.Http.PostAsJsonAsync(
            "/api/models/moons/likelihood",
            new { values = new[] { 0.5, 0.25 } }
        );
        var found = await answer.Content.ReadFromJsonAsync<JsonElement>();
        await using var model = await FlowModel.LoadAsync(Path.Combine(served.Folder, "moons"));
        var same = await model.LogLikelihoodAsync(SampleBatch.FromArray([0.5, 0.25], [1, 2]));
        Assert.That(found.GetProperty("nats").GetDouble(), Is.EqualTo(same.Mean));
        Assert.That(found.GetProperty("bitsPerDimension").GetDouble(), Is.EqualTo(same.BitsPerDimension));
    }

    private static IEnumerable<TestCaseData> Refused()
    {
        TestCaseData Asked(string address, int status, string word) =>
            new TestCaseData(address, status, word).SetArgDisplayNames(address);

        yield return Asked("/api/models/none", 404, "no model");
        yield return Asked("/api/models/..", 404, "nothing");
        yield return Asked("/api/models/%2e%2e%2fsecret", 404, "no model");
        yield return Asked("/api/models/..%2f..%2fetc%2fpasswd/samples.json", 404, "no model");
        yield return Asked("/api/models/moons%2f..%2fmoons/samples.json", 404, "no model");
        yield return Asked("/api/models/%5c..%5cmoons/samples.json", 404, "no model");
        yield return Asked("/api/models/moons/picture", 404, "nothing");
        yield return Asked("/assets/..%2fFokker.dll", 404, "nothing");
        yield return Asked("/nowhere", 404, "nothing");
        yield return Asked("/api/models/moons/samples.json?count=0", 400, "Count");
        yield return Asked("/api/models/moons/samples.json?count=-4", 400, "Count");
        yield return Asked("/api/models/moons/samples.json?count=many", 400, "count is 'many'");
        yield return Asked("/api/models/moons/samples.json?count=2147483647", 400, "at most");
        yield return Asked("/api/models/moons/samples.json?steps=2000000", 400, "at most");
        yield return Asked("/api/models/moons/samples.json?seed=99999999999999999999", 400, "seed is");
        yield return Asked("/api/models/moons/samples.json?solver=magic", 400, "magic");
        yield return Asked("/api/models/moons/samples.json?grid=magic", 400, "magic");
        yield return Asked("/api/models/moons/samples.json?class=cat", 400, "class");
        yield return Asked("/api/models/squares/samples.json?class=7", 400, "Label");
        yield return Asked("/api/models/moons/samples.json?guidance=NaN", 400, "Guidance");
        yield return Asked("/api/models/moons/stream?solver=magic", 400, "magic");
    }

    [TestCaseSource(nameof(Refused))]
    public async Task WhatCannotBeIsRefusedInOneSentence(string address, int status, string word)
    {
        // Written by hand, for a client tidies up paths before it sends them.
        var (line, body) = await Raw($"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        Assert.That(line, Does.StartWith($"HTTP/1.1 {status} "));
        Assert.That(body, Does.Contain("application/problem+json").IgnoreCase);
        var detail = JsonDocument
            .Parse(body[body.IndexOf('{')..(body.LastIndexOf('}') + 1)])
            .RootElement.GetProperty("detail")
            .GetString()!;
        Assert.That(detail, Does.Contain(word).And.EndWith(".").And.Not.Contain("\n"));
    }

    [TestCase("{", 400)]
    [TestCase("[]", 400)]
    [TestCase("{\"values\": [1, 2], \"known\": [true]}", 400)]
    [TestCase("{\"values\": [1], \"known\": [true, false]}", 400)]
    [TestCase("{\"values\": null, \"known\": null}", 400)]
    [TestCase("{\"values\": [1e999, 0], \"known\": [true, true]}", 400)]
    [TestCase("{\"values\": [\"x\", 0], \"known\": [true, true]}", 400)]
    public async Task ABodyThatIsNoneIsRefused(string body, int status)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var answer = await served.Http.PostAsync("/api/models/moons/inpaint", content);
        var (found, sentence) = await Served.Problem(answer);
        Assert.That(found, Is.EqualTo(status), sentence);
        Assert.That(sentence, Does.EndWith("."));
    }

    [Test]
    public async Task ABodyOfAnotherKindOrTooLargeIsRefused()
    {
        using var text = new StringContent("values=1");
        Assert.That(
            (await Served.Problem(await served.Http.PostAsync("/api/models/moons/likelihood", text))).Status,
            Is.EqualTo(415)
        );

        // It is refused by its length: a client that goes on sending would find the connection closed under it.
        var (large, _) = await Raw(
            "POST /api/models/moons/likelihood HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                + $"Content-Type: application/json\r\nContent-Length: {5 << 20}\r\n\r\n"
        );
        Assert.That(large, Does.StartWith("HTTP/1.1 413 "));
    }

    [Test]
    public async Task OtherHostsAndOtherSitesAreRefused()
    {
        var (nul, _) = await Raw(
            "GET /api/models/moons%00/samples.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        );
        Assert.That(nul, Does.StartWith("HTTP/1.1 400 "));
        var (line, _) = await Raw("GET /api/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        Assert.That(line, Does.StartWith("HTTP/1.1 400 "));

        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/models/moons/samples.json");
        request.Headers.Add("Sec-Fetch-Site", "cross-site");
        using var answer = await served.Http.SendAsync(request);
        Assert.That((await Served.Problem(answer)).Status, Is.EqualTo(403));
    }

    [Test]
    public async Task HealthMetricsAndADescriptionAreThere()
    {
        await Get("/api/models/moons/samples.json?count=2&steps=2");
        Assert.That(await served.Http.GetStringAsync("/healthz"), Is.EqualTo("Healthy"));

        var metrics = await served.Http.GetStringAsync("/metrics");
        Assert.That(
            metrics,
            Does.Contain("fokker_requests_total").And.Contain("http_server_request_duration_seconds_bucket")
        );
        Assert.That(metrics, Does.Match("fokker_samples_total[^\n]* [1-9]"));

        var description = await Get("/openapi.json");
        var paths = description.GetProperty("paths").EnumerateObject().Select(path => path.Name).ToArray();
        Assert.That(paths, Does.Contain("/api/models/{name}/samples.npy").And.Contain("/api/models/{name}/inpaint"));
        var parameters = description
            .GetProperty("paths")
            .GetProperty("/api/models/{name}/stream")
            .GetProperty("get")
            .GetProperty("parameters")
            .EnumerateArray()
            .Select(parameter => parameter.GetProperty("name").GetString()!.ToLowerInvariant());
        Assert.That(parameters, Does.Contain("solver").And.Contain("class").And.Contain("seed"));
    }

    [Test]
    public async Task ThePageRunsItsOwnScriptsAlone()
    {
        using var answer = await served.Http.GetAsync("/");
        var policy = string.Join(' ', answer.Headers.GetValues("Content-Security-Policy"));
        Assert.That(policy, Does.Contain("script-src 'self'").And.Not.Contain("unsafe"));
        var page = await answer.Content.ReadAsStringAsync();
        Assert.That(page, Does.Not.Match("<script(?![^>]* src=)").And.Not.Match(" on[a-z]+=").And.Not.Match(" style="));

        foreach (
            System.Text.RegularExpressions.Match link in System.Text.RegularExpressions.Regex.Matches(
                page,
                "(?:src|href)=\"(/[^\"]+)\""
            )
        )
        {
            using var asset = await served.Http.GetAsync(link.Groups[1].Value);
            Assert.That(asset.StatusCode, Is.EqualTo(HttpStatusCode.OK), link.Value);
        }
    }

    // The first line of an answer, and the rest.
    private async Task<(string Line, string Text)> Raw(string request)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, served.Http.BaseAddress!.Port);
        await using var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var text = await reader.ReadToEndAsync();
        return (text[..text.IndexOf('\r')], text);
    }
}
