using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>A page of Chromium without a screen, driven by its DevTools protocol; what it complains of is kept.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private readonly Process process;
    private readonly string profile;
    private readonly ClientWebSocket socket = new();
    private readonly ConcurrentDictionary<int, TaskCompletionSource<JsonElement>> waiting = new();
    private readonly ConcurrentQueue<string> complaints = new();
    private int last;

    private Browser(Process process, string profile)
    {
        this.process = process;
        this.profile = profile;
    }

    /// <summary>Starts one; skips the test where there is no Chromium, but in CI, which has one.</summary>
    public static async Task<Browser> StartAsync()
    {
        var program = (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(':')
            .SelectMany(folder =>
                new[] { "chromium", "chromium-browser", "google-chrome" }.Select(name => Path.Combine(folder, name))
            )
            .FirstOrDefault(File.Exists);

        if (program is null)
        {
            const string missing = "chromium is not installed: apt-get install chromium";
            Assert.That(Environment.GetEnvironmentVariable("CI"), Is.Not.EqualTo("true"), missing);
            Assert.Ignore(missing);
        }

        var profile = Directory.CreateTempSubdirectory("fokker-chromium-").FullName;
        var start = new ProcessStartInfo(
            program,
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
                $"--user-data-dir={profile}",
                "about:blank",
            ]
        )
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        var process = Process.Start(start)!;
        // Read, or a full pipe would stop it.
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        var browser = new Browser(process, profile);
        await browser.ConnectAsync();
        return browser;
    }

    private async Task ConnectAsync()
    {
        var file = Path.Combine(profile, "DevToolsActivePort");
        await Until(() => Task.FromResult(File.Exists(file) && File.ReadAllLines(file).Length == 2), "Chromium’s port");
        using var http = new HttpClient();
        var pages = await http.GetFromJsonAsync<JsonElement>(
            $"http://127.0.0.1:{File.ReadAllLines(file)[0]}/json/list"
        );
        var page = pages.EnumerateArray().First(target => target.GetProperty("type").GetString() == "page");
        await socket.ConnectAsync(
            new Uri(page.GetProperty("webSocketDebuggerUrl").GetString()!),
            CancellationToken.None
        );
        _ = ListenAsync();

        foreach (var domain in new[] { "Page", "Runtime", "Log", "DOM" })
        {
            await Send($"{domain}.enable");
        }
    }

    private async Task ListenAsync()
    {
        var buffer = new byte[1 << 16];
        using var message = new MemoryStream();

        try
        {
            while (true)
            {
                var part = await socket.ReceiveAsync(buffer, CancellationToken.None);
                message.Write(buffer, 0, part.Count);

                if (part.EndOfMessage)
                {
                    Hear(JsonDocument.Parse(message.ToArray()).RootElement);
                    message.SetLength(0);
                }
            }
        }
        catch (Exception error)
            when (error is WebSocketException or OperationCanceledException or ObjectDisposedException or JsonException)
        {
            foreach (var answer in waiting.Values)
            {
                answer.TrySetException(new IOException("Chromium has ended.", error));
            }
        }
    }

    private void Hear(JsonElement message)
    {
        if (message.TryGetProperty("id", out var id) && waiting.TryRemove(id.GetInt32(), out var answer))
        {
            if (message.TryGetProperty("error", out var error))
            {
                answer.TrySetException(new InvalidOperationException(error.ToString()));
            }
            else
            {
                answer.TrySetResult(message.GetProperty("result"));
            }
        }
        else if (message.TryGetProperty("method", out var method))
        {
            var said = message.GetProperty("params");
            var complaint = method.GetString() switch
            {
                "Runtime.exceptionThrown" => said.ToString(),
                "Runtime.consoleAPICalled" when said.GetProperty("type").GetString() is "error" or "warning" =>
                    said.GetProperty("args").ToString(),
                "Log.entryAdded"
                    when said.GetProperty("entry").GetProperty("level").GetString() is "error" or "warning" =>
                    said.GetProperty("entry").ToString(),
                _ => null,
            };

            if (complaint is not null)
            {
                complaints.Enqueue(complaint);
            }
        }
    }

    /// <summary>A command of the protocol.</summary>
    public async Task<JsonElement> Send(string method, object? parameters = null)
    {
        var id = Interlocked.Increment(ref last);
        var answer = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
        waiting[id] = answer;
        var bytes = JsonSerializer.SerializeToUtf8Bytes(
            new
            {
                id,
                method,
                @params = parameters ?? new { },
            }
        );
        await socket.SendAsync(bytes, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
        return await answer.Task.WaitAsync(TimeSpan.FromMinutes(1));
    }

    /// <summary>What an expression of the page's comes to.</summary>
    public async Task<JsonElement> Evaluate(string expression)
    {
        var answer = await Send(
            "Runtime.evaluate",
            new
            {
                expression,
                awaitPromise = true,
                returnByValue = true,
            }
        );
        Assert.That(answer.TryGetProperty("exceptionDetails", out var thrown), Is.False, $"{expression}: {thrown}");
        var result = answer.GetProperty("result");
        return result.TryGetProperty("value", out var value) ? value : default;
    }

    /// <summary>Waits until an expression of the page's is true.</summary>
    public Task Until(string expression) =>
        Until(async () => (await Evaluate($"Boolean({expression})")).GetBoolean(), expression);

    private static async Task Until(Func<Task<bool>> isSo, string what)
    {
        var watch = Stopwatch.StartNew();

        while (!await isSo())
        {
            Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromMinutes(2)), what);
            await Task.Delay(50);
        }
    }

    public async Task Go(string address)
    {
        await Send("Page.navigate", new { url = "about:blank" });
        await Send("Page.navigate", new { url = address });
        await Until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// <summary>The left button pressed and let go of in the middle of an element, or drawn from one share of it to another.</summary>
    public async Task Click(string selector, double from = 0.5, double to = 0.5)
    {
        await Until($"document.querySelector('{selector}')?.checkVisibility()");
        var box = await Evaluate(
            $"(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }})()"
        );
        var (x, y, width, height) = (box[0].GetDouble(), box[1].GetDouble(), box[2].GetDouble(), box[3].GetDouble());

        Task Mouse(string type, double share) =>
            Send(
                "Input.dispatchMouseEvent",
                new
                {
                    type,
                    x = x + share * width,
                    y = y + share * height,
                    button = "left",
                    buttons = 1,
                    clickCount = 1,
                }
            );

        await Mouse("mousePressed", from);

        if (to != from)
        {
            await Mouse("mouseMoved", (from + to) / 2);
            await Mouse("mouseMoved", to);
        }

        await Mouse("mouseReleased", to);
    }

    /// <summary>What the page complained of since this was last asked.</summary>
    public string[] Complaints()
    {
        var found = complaints.ToArray();
        complaints.Clear();
        return found;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await Send("Browser.close");
        }
        catch (Exception error)
            when (error is IOException or WebSocketException or TimeoutException or InvalidOperationException)
        {
            // It is ended below.
        }

        if (!process.WaitForExit(5000))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }

        socket.Dispose();
        process.Dispose();

        try
        {
            Directory.Delete(profile, recursive: true);
        }
        catch (IOException)
        {
            // A helper of Chromium's may still write its last file.
        }
    }
}
