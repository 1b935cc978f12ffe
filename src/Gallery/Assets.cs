using System.Collections.Frozen;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;

namespace Fokker.Gallery;

/// <summary>The page: files inside the assembly, by their names. Nothing is read from disk for it.</summary>
internal static class Assets
{
    private sealed record Asset(byte[] Bytes, string Type, EntityTagHeaderValue Tag);

    // What the report's drawing gives to the page's modules; in the report it is one script with the rest.
    private const string Exports =
        "export { root, colour, ramp, repaints, make, Plane, addPlayer, addStrip, keepDrawn, counted, whole, minus };\n";

    private static readonly FrozenDictionary<string, Asset> All = Collect().ToFrozenDictionary();

    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/", () => Answer("index.html")).ExcludeFromDescription();
        app.MapGet("/assets/{file}", (string file) => Answer(file)).ExcludeFromDescription();
    }

    private static IResult Answer(string file) =>
        All.TryGetValue(file, out var asset)
            ? Results.File(asset.Bytes, asset.Type, entityTag: asset.Tag)
            : Results.NotFound();

    private static IEnumerable<KeyValuePair<string, Asset>> Collect()
    {
        var assembly = Assembly.GetExecutingAssembly();

        byte[] Read(string name)
        {
            using var stream = assembly.GetManifestResourceStream(name)!;
            using var memory = new MemoryStream();
            stream.CopyTo(memory);
            return memory.ToArray();
        }

        static KeyValuePair<string, Asset> Named(string name, byte[] bytes) =>
            KeyValuePair.Create(
                name,
                new Asset(
                    bytes,
                    Path.GetExtension(name) switch
                    {
                        ".html" => "text/html; charset=utf-8",
                        ".css" => "text/css; charset=utf-8",
                        ".js" => "text/javascript; charset=utf-8",
                        ".svg" => "image/svg+xml",
                        _ => "application/octet-stream",
                    },
                    new EntityTagHeaderValue($"\"{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}\"")
                )
            );

        foreach (var name in assembly.GetManifestResourceNames().Where(name => !name.StartsWith("report/")))
        {
            yield return Named(name, Read(name));
        }

        string[] drawing = ["theme.js", "data.js", "plane.js", "player.js"];
        var module = string.Join('\n', drawing.Select(name => Encoding.UTF8.GetString(Read("report/" + name))));
        yield return Named("drawing.js", Encoding.UTF8.GetBytes(module + "\n" + Exports));
        yield return Named("page.css", Read("report/page.css"));
    }
}
