using System.Diagnostics;
using System.Text.Json;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>The command that starts the gallery.</summary>
[NonParallelizable]
public class CommandTests
{
    private static Process Start(params string[] words)
    {
        var program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll");
        var dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        return Process.Start(
            new ProcessStartInfo(dotnet, [program, "gallery", .. words])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }
        )!;
    }

    [Test]
    public async Task ItSaysWhereItIsAndEndsWhenItIsToldTo()
    {
        await using var served = await Served.StartAsync();
        using var process = Start("--port", "0", "--runs", served.Folder, "--json");
        var said = "";

        while (!said.Contains('}'))
        {
            var line = await process.StandardOutput.ReadLineAsync();

            if (line is null)
            {
                Assert.Fail(await process.StandardError.ReadToEndAsync());
            }

            said += line;
        }

        var address = new Uri(JsonDocument.Parse(said).RootElement.GetProperty("address").GetString()!);
        Assert.That(address.Host, Is.EqualTo("127.0.0.1"));
        using var http = new HttpClient { BaseAddress = address };
        Assert.That(await http.GetStringAsync("/api/models"), Does.Contain("moons"));

        using var kill = Process.Start("sh", ["-c", $"kill -TERM {process.Id}"]);
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero);
        Assert.That(await process.StandardError.ReadToEndAsync(), Is.Empty);
    }

    [Test]
    public async Task WhatCannotBeServedIsOneLine()
    {
        await using var served = await Served.StartAsync();
        var taken = served.Http.BaseAddress!.Port;
        (string[] Words, string Said)[] cases =
        [
            (["--port", "65536"], "--port 65536"),
            (["--queue", "-1"], "--queue -1"),
            (["--runs", Path.Combine(served.Folder, "none")], "none"),
            (["--runs", served.Folder, "--port", $"{taken}"], $"{taken}"),
        ];

        foreach (var (words, said) in cases)
        {
            var (code, line) = Served.Run(["gallery", .. words]);
            Assert.That(code, Is.EqualTo(2), line);
            Assert.That(line.Trim(), Does.StartWith("fokker gallery: ").And.Contain(said).And.Not.Contain("\n"));
        }
    }
}
